using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Records;

/// <summary>Notes, links and evidence (T-12): what is taken, what comes back, who deletes it, and that it outlives its task.</summary>
public sealed class ArtifactTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Notes_links_and_texts_are_attached_listed_in_order_and_read(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box") with { Intent = "look at it" });
        var place = $"/api/tasks/{task.Id}";

        var response = await server.Client.PostJsonAsync(place + "/artifacts", RecordCalls.Note("# Disk\n\nIt was *full*. ü"));
        response.StatusCode.ShouldBe(HttpStatusCode.Created);
        var note = await response.BodyAsync<ArtifactBody>();
        response.Headers.Location!.ToString().ShouldBe("/api/artifacts/" + note.Id);
        var link = await server.Client.AddAsync(place, new() { Kind = ArtifactKind.Link, Url = " https://example.org/a b?x=ü#y " });
        var text = await server.Client.AddAsync(place, new() { Kind = ArtifactKind.Evidence, FileName = "df.txt", Text = "100%\0", MediaType = "text/x-df; charset=utf-8" });

        // Ids of one millisecond have no order among themselves.
        var ids = new[] { note.Id, link.Id, text.Id }.Order(StringComparer.Ordinal).ToList();
        (await server.Client.ArtifactsAsync(place)).Select(a => (a.Id, a.Text)).ShouldBe(ids.Select(id => (id, (string?)null)));
        (await server.Client.GetBodyAsync<ArtifactBody>("/api/artifacts/" + note.Id)).Text.ShouldBe("# Disk\n\nIt was *full*. ü");
        (note.TaskId, note.TaskIntent, note.MediaType, note.CreatedBy is not null, note.InvestigationId).ShouldBe((task.Id, "look at it", "text/markdown", true, null));
        (link.Url, link.Title, link.Sha256, link.SizeBytes).ShouldBe(("https://example.org/a%20b?x=%C3%BC#y", "https://example.org/a%20b?x=%C3%BC#y", null, null));
        (text.Title, text.MediaType, text.SizeBytes).ShouldBe(("df.txt", "text/x-df", 5));
        (await server.Client.GetAsync($"/api/artifacts/{link.Id}/content", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound)).Hint!.ShouldContain(link.Url!);
        (await server.Client.GetByteArrayAsync($"/api/artifacts/{text.Id}/content", Cancelled)).ShouldBe("100%\0"u8.ToArray());

        var first = await server.Client.GetBodyAsync<Page<ArtifactBody>>(place + "/artifacts?limit=2");
        var rest = await server.Client.GetBodyAsync<Page<ArtifactBody>>($"{place}/artifacts?limit=2&cursor={first.NextCursor}");
        first.Items.Concat(rest.Items).Select(a => a.Id).ShouldBe(ids);
        (await server.AuditAsync(note.Id)).ShouldBe(["artifact.created"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_file_comes_back_byte_for_byte_and_only_what_has_the_expected_digest_is_stored(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var place = "/api/investigations/" + (await server.Client.NewInvestigationAsync()).Id;
        var bytes = RandomNumberGenerator.GetBytes(3 * 1024 * 1024);
        var digest = Convert.ToHexStringLower(SHA256.HashData(bytes));

        var artifact = await (await server.Client.UploadAsync(place, bytes, $"fileName=heap.bin&title=Heap&sha256={digest.ToUpperInvariant()}")).BodyAsync<ArtifactBody>();
        (artifact.Kind, artifact.Title, artifact.FileName, artifact.MediaType, artifact.SizeBytes, artifact.Sha256)
            .ShouldBe((ArtifactKind.Evidence, "Heap", "heap.bin", "application/pdf", bytes.LongLength, digest));
        var content = await server.Client.GetAsync($"/api/artifacts/{artifact.Id}/content", Cancelled);
        (await content.Content.ReadAsByteArrayAsync(Cancelled)).ShouldBe(bytes);
        content.Headers.GetValues("Repr-Digest").ShouldBe([$"sha-256=:{Convert.ToBase64String(SHA256.HashData(bytes))}:"]);

        bytes[^1]++;
        var refused = await server.Client.UploadAsync(place, bytes, "fileName=heap.bin&sha256=" + digest).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
        refused.Errors!["sha256"][0].ShouldContain(Convert.ToHexStringLower(SHA256.HashData(bytes)));
        (await server.Client.PostJsonAsync(place + "/artifacts", RecordCalls.Note() with { Sha256 = digest }).WrongFieldsAsync()).ShouldBe(["sha256"]);
        (await server.Client.UploadAsync(place, bytes, "fileName=heap.bin&sha256=ff").WrongFieldsAsync()).ShouldBe(["sha256"]);
        (await server.Client.ArtifactsAsync(place)).Count.ShouldBe(1);
        // Nothing at all is a finding too.
        (await (await server.Client.UploadAsync(place, [], "title=Empty", type: null)).BodyAsync<ArtifactBody>()).MediaType.ShouldBe("application/octet-stream");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Ten_mebibytes_are_taken_and_one_byte_more_is_not(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var place = "/api/investigations/" + (await server.Client.NewInvestigationAsync()).Id;
        var bytes = new byte[WireLimits.MaxArtifactBytes];
        (await server.Client.UploadAsync(place, bytes, "title=Zeros")).StatusCode.ShouldBe(HttpStatusCode.Created);
        await server.Client.UploadAsync(place, [.. bytes, 0], "title=Zeros").ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.BodyTooLarge);
    }

    /// <summary>A page that somebody stored would otherwise act as whoever opens it.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Stored_html_never_runs_in_our_origin(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var place = "/api/investigations/" + (await server.Client.NewInvestigationAsync()).Id;
        var html = "<script>alert(document.cookie)</script>"u8.ToArray();
        foreach (var (query, type) in new[] { ("fileName=a.html", "text/html"), ("fileName=a.svg", "image/svg+xml"), ("title=x", "application/xhtml+xml") })
        {
            var artifact = await (await server.Client.UploadAsync(place, html, query, type)).BodyAsync<ArtifactBody>();
            var content = await server.Client.GetAsync($"/api/artifacts/{artifact.Id}/content", Cancelled);
            artifact.MediaType.ShouldBe(type);
            content.Content.Headers.ContentType!.ToString().ShouldBe("application/octet-stream");
            content.Content.Headers.ContentDisposition!.DispositionType.ShouldBe("attachment");
            content.Headers.GetValues("X-Content-Type-Options").ShouldBe(["nosniff"]);
            content.Headers.GetValues("Content-Security-Policy").Single().ShouldStartWith("sandbox; default-src 'none'");
            content.Headers.GetValues("Cross-Origin-Resource-Policy").ShouldBe(["same-origin"]);
            (await content.Content.ReadAsByteArrayAsync(Cancelled)).ShouldBe(html);
        }
        // A name cannot say more than a name.
        var odd = await (await server.Client.UploadAsync(place, html, "fileName=" + Uri.EscapeDataString("a\"; x=y; filename=\"b.exe ü"))).BodyAsync<ArtifactBody>();
        var named = await server.Client.GetAsync($"/api/artifacts/{odd.Id}/content", Cancelled);
        named.Content.Headers.ContentDisposition!.FileNameStar.ShouldBe("a\"; x=y; filename=\"b.exe ü");
        named.Content.Headers.ContentDisposition.Parameters.Select(p => p.Name).ShouldNotContain("x");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_422_names_every_field_that_is_wrong(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var place = "/api/investigations/" + (await server.Client.NewInvestigationAsync()).Id;
        Task<IEnumerable<string>> FieldsAsync(CreateArtifactRequest request) => server.Client.PostJsonAsync(place + "/artifacts", request).WrongFieldsAsync();

        (await FieldsAsync(new())).ShouldBe(["kind", "text", "title"]);
        (await FieldsAsync(RecordCalls.Note() with { Kind = ArtifactKind.Summary })).ShouldBe(["kind"]);
        (await FieldsAsync(RecordCalls.Note() with { Url = "https://a", FileName = "a", MediaType = "a/b" })).ShouldBe(["fileName", "mediaType", "url"]);
        (await FieldsAsync(RecordCalls.Note(new string('x', WireLimits.MaxProseBytes + 1)))).ShouldBe(["text"]);
        (await FieldsAsync(new() { Kind = ArtifactKind.Link, Title = "x", Text = "x", Sha256 = "x" })).ShouldBe(["sha256", "text", "url"]);
        (await FieldsAsync(new() { Kind = ArtifactKind.Evidence, FileName = "../x", Text = "x", MediaType = "nonsense" })).ShouldBe(["fileName", "mediaType"]);
        foreach (var url in new[] { "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//example.org", "example.org", "ftp://example.org", "https://", "https://me:secret@example.org", "http://x/" + new string('y', 2000) })
            (await FieldsAsync(new() { Kind = ArtifactKind.Link, Title = "x", Url = url })).ShouldBe(["url"], url);
        (await server.Client.UploadAsync(place, [1], "").WrongFieldsAsync()).ShouldBe(["title"]);
        (await server.Client.UploadAsync(place, [1], "fileName=..").WrongFieldsAsync()).ShouldBe(["fileName"]);
        (await server.Client.ArtifactsAsync(place)).ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Its_maker_or_an_admin_deletes_it_and_nobody_else(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var maker = await server.NewMemberAsync(Role.Member);
        using var other = await server.NewMemberAsync(Role.Member);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var place = "/api/investigations/" + (await server.Client.NewInvestigationAsync()).Id;
        var (first, second) = (await maker.AddAsync(place, RecordCalls.Note()), await maker.AddAsync(place, RecordCalls.Note()));

        await other.DeleteAsync("/api/artifacts/" + first.Id, Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await maker.DeleteAsync("/api/artifacts/" + first.Id, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await admin.DeleteAsync("/api/artifacts/" + second.Id, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await admin.DeleteAsync("/api/artifacts/" + second.Id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        foreach (var path in new[] { first.Id, second.Id + "/content" }) await maker.GetAsync("/api/artifacts/" + path, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await server.Client.ArtifactsAsync(place)).ShouldBeEmpty();
        (await server.AuditAsync(second.Id)).ShouldBe(["artifact.created", "artifact.deleted"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task They_outlive_their_task_and_tell_what_it_was_for(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box") with { Intent = "measure" });
        await agent.ClaimAsync(task.StepId());
        await agent.CompleteAsync(task.StepId());
        var note = await server.Client.AddAsync("/api/tasks/" + task.Id, RecordCalls.Note());
        (await server.App.Services.GetRequiredService<TaskPurge>().DeleteTasksAsync(TimeProvider.System.GetUtcNow().AddMinutes(1), Cancelled)).ShouldBe(1);

        await server.Client.GetAsync("/api/tasks/" + task.Id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        var left = await server.Client.ArtifactsAsync("/api/tasks/" + task.Id);
        left.Select(a => (a.Kind, a.TaskId, a.TaskIntent)).ShouldBe([(ArtifactKind.Summary, task.Id, "measure"), (ArtifactKind.Note, task.Id, "measure")], ignoreOrder: true);
        Encoding.UTF8.GetString(await server.Client.GetByteArrayAsync($"/api/artifacts/{note.Id}/content", Cancelled)).ShouldBe("It was full.");
        // Nothing is added to what is gone.
        await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/artifacts", RecordCalls.Note()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_idempotency_key_attaches_once_and_refuses_other_bytes(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var place = "/api/investigations/" + (await server.Client.NewInvestigationAsync()).Id;
        async Task<HttpResponseMessage> SendAsync(string key, byte[] bytes)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, place + "/artifacts/files?title=x") { Content = new ByteArrayContent(bytes) };
            request.Headers.Add("Idempotency-Key", key);
            return await server.Client.SendAsync(request, Cancelled);
        }

        var (first, again) = (await SendAsync("k", [1]), await SendAsync("k", [1]));
        (first.StatusCode, again.StatusCode).ShouldBe((HttpStatusCode.Created, HttpStatusCode.OK));
        var artifact = await first.BodyAsync<ArtifactBody>();
        (await again.BodyAsync<ArtifactBody>()).Id.ShouldBe(artifact.Id);
        await SendAsync("k", [2]).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.IdempotencyKeyReused);
        (await server.Client.ArtifactsAsync(place)).Count.ShouldBe(1);
        (await server.Client.DeleteAsync("/api/artifacts/" + artifact.Id, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await SendAsync("k", [1]).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }
}
