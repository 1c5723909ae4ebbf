using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Records;

/// <summary>Nothing crosses organizations: what is another's is answered like what does not exist, on every route of records.</summary>
public sealed class RecordIsolationTests
{
    /// <summary>A cursor that any list takes: base64url of <c>a</c>.</summary>
    private const string Later = "YQ";

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task People_of_another_organization_find_nothing_and_change_nothing(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var (_, stranger) = await server.NewOrganizationAsync();
        using var own = await server.NewAgentAsync("own", admin: stranger);
        var task = await server.Client.CreateTaskAsync(agent);
        var investigation = await server.Client.NewInvestigationAsync("secret");
        var artifact = await server.Client.AddAsync("/api/investigations/" + investigation.Id, RecordCalls.Note());
        var runbook = await server.Client.NewRunbookAsync(RecordCalls.Restart("mine"));
        var prompt = await (await server.Client.PostJsonAsync("/api/prompts", new CreatePromptRequest { Name = "mine", Text = "x" })).BodyAsync<PromptBody>();

        foreach (var (method, path, body) in new (string, string, HttpContent?)[]
        {
            ("GET", $"/api/investigations/{investigation.Id}", null), ("DELETE", $"/api/investigations/{investigation.Id}", null),
            ("PATCH", $"/api/investigations/{investigation.Id}", JsonHttp.Content(new UpdateInvestigationRequest { Version = 1, Title = "theirs" })),
            ("GET", $"/api/investigations/{investigation.Id}/artifacts", null), ("GET", $"/api/investigations/{investigation.Id}/artifacts?cursor={Later}", null), ("POST", $"/api/investigations/{investigation.Id}/artifacts", JsonHttp.Content(RecordCalls.Note())),
            ("POST", $"/api/investigations/{investigation.Id}/artifacts/files?title=x", new ByteArrayContent([1])),
            ("GET", $"/api/tasks/{task.Id}/artifacts", null), ("GET", $"/api/tasks/{task.Id}/artifacts?cursor={Later}", null), ("POST", $"/api/tasks/{task.Id}/artifacts", JsonHttp.Content(RecordCalls.Note())),
            ("POST", $"/api/tasks/{task.Id}/artifacts/files?title=x", new ByteArrayContent([1])),
            ("GET", $"/api/artifacts/{artifact.Id}", null), ("GET", $"/api/artifacts/{artifact.Id}/content", null), ("DELETE", $"/api/artifacts/{artifact.Id}", null),
            ("GET", $"/api/runbooks/{runbook.Id}", null), ("GET", "/api/runbooks/mine", null), ("DELETE", $"/api/runbooks/{runbook.Id}", null),
            ("PATCH", $"/api/runbooks/{runbook.Id}", JsonHttp.Content(new UpdateRunbookRequest { Version = 1, Status = RunbookStatus.Archived })),
            ("GET", $"/api/prompts/{prompt.Id}", null), ("GET", "/api/prompts/mine", null), ("DELETE", $"/api/prompts/{prompt.Id}", null),
            ("PATCH", $"/api/prompts/{prompt.Id}", JsonHttp.Content(new UpdatePromptRequest { Version = 1, Text = "theirs" })),
        })
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = body };
            await stranger.SendAsync(request, TestContext.Current.CancellationToken).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        }
        (await stranger.GetBodyAsync<Page<InvestigationBody>>("/api/investigations")).Items.ShouldBeEmpty();
        (await stranger.GetBodyAsync<Page<RunbookBody>>("/api/runbooks")).Items.ShouldBeEmpty();
        (await stranger.GetBodyAsync<Page<PromptBody>>("/api/prompts")).Items.ShouldBeEmpty();
        (await stranger.GetBodyAsync<Page<TaskBody>>("/api/tasks?investigation=" + investigation.Id)).Items.ShouldBeEmpty();
        (await stranger.PostJsonAsync("/api/tasks", TaskCalls.On("own") with { InvestigationId = investigation.Id }).WrongFieldsAsync()).ShouldBe(["investigationId"]);
        foreach (var named in new[] { runbook.Id, "mine" })
            (await stranger.PostJsonAsync("/api/tasks", new CreateTaskRequest { RunbookId = named }).WrongFieldsAsync()).ShouldBe(["runbookId"]);
        // Their names are theirs alone.
        (await stranger.NewRunbookAsync(RecordCalls.Restart("mine", "own"))).Id.ShouldNotBe(runbook.Id);

        (await server.Client.GetBodyAsync<InvestigationBody>("/api/investigations/" + investigation.Id)).ShouldBe(investigation);
        (await server.Client.ArtifactsAsync("/api/investigations/" + investigation.Id)).Select(a => a.Id).ShouldBe([artifact.Id]);
        (await server.Client.GetBodyAsync<RunbookBody>("/api/runbooks/mine")).Version.ShouldBe(1);
        (await server.Client.GetBodyAsync<PromptBody>("/api/prompts/mine")).Version.ShouldBe(1);
        stranger.Dispose();
    }
}
