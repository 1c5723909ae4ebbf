using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Records;

/// <summary>Saved prompts (I-03).</summary>
public sealed class PromptTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task They_are_saved_found_by_tag_changed_and_deleted(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var member = await server.NewMemberAsync(Role.Member);
        using var other = await server.NewMemberAsync(Role.Member);
        async Task<PromptBody> SaveAsync(string name, params string[] tags) =>
            await (await member.PostJsonAsync("/api/prompts", new CreatePromptRequest { Name = name, Text = $"Look at {name}.\n", Tags = tags })).BodyAsync<PromptBody>();
        var (triage, review) = (await SaveAsync("triage", "oncall", "a/b"), await SaveAsync("review"));
        (triage.Text, triage.Version).ShouldBe(("Look at triage.\n", 1));
        triage.Tags.ShouldBe(["a/b", "oncall"]);
        (await other.GetBodyAsync<Page<PromptBody>>("/api/prompts")).Items.Select(p => p.Id).ShouldBe(new[] { triage.Id, review.Id }.Order());
        (await other.GetBodyAsync<Page<PromptBody>>("/api/prompts?tag=oncall")).Items.Select(p => p.Id).ShouldBe([triage.Id]);

        // Members change each other's, and delete their own.
        var changed = await (await other.PatchJsonAsync("/api/prompts/triage", new UpdatePromptRequest { Version = 1, Name = "sort", Tags = [] })).BodyAsync<PromptBody>();
        (changed.Name, changed.Tags.Count, changed.Text, changed.Version).ShouldBe(("sort", 0, "Look at triage.\n", 2));
        (await other.PatchJsonAsync("/api/prompts/sort", new UpdatePromptRequest { Version = 1 }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.VersionConflict)).CurrentState.ShouldBe("2");
        await other.PatchJsonAsync("/api/prompts/sort", new UpdatePromptRequest { Version = 2, Name = "review" }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
        await other.PostJsonAsync("/api/prompts", new CreatePromptRequest { Name = "sort", Text = "x" }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
        await other.DeleteAsync("/api/prompts/sort", Cancelled).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await member.DeleteAsync("/api/prompts/sort", Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await member.GetAsync("/api/prompts/" + triage.Id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await server.Client.DeleteAsync("/api/prompts/" + review.Id, Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.AuditAsync(triage.Id)).ShouldBe(["prompt.created", "prompt.updated", "prompt.deleted"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_422_names_every_field_that_is_wrong(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        (await server.Client.PostJsonAsync("/api/prompts", new CreatePromptRequest { Name = "a/b", Text = " ", Tags = ["Up"] }).WrongFieldsAsync()).ShouldBe(["name", "tags[0]", "text"]);
        (await server.Client.PostJsonAsync("/api/prompts", new CreatePromptRequest { Name = "a", Text = new string('x', WireLimits.MaxProseBytes + 1) }).WrongFieldsAsync()).ShouldBe(["text"]);
        (await server.Client.PatchJsonAsync("/api/prompts/x", new UpdatePromptRequest { Text = "" }).WrongFieldsAsync()).ShouldBe(["text", "version"]);
        (await server.Client.GetAsync("/api/prompts?tag=Up", Cancelled).WrongFieldsAsync()).ShouldBe(["tag"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_requests_that_race_for_a_name_one_gets_it(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        for (var round = 0; round < 10; round++)
        {
            var name = "round-" + round;
            var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.Client.PostJsonAsync("/api/prompts", new CreatePromptRequest { Name = name, Text = "x" })));
            answers.Count(a => a.StatusCode == HttpStatusCode.Created).ShouldBe(1);
            answers.Count(a => a.StatusCode == HttpStatusCode.Conflict).ShouldBe(3);
        }
    }
}
