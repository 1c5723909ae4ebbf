using System.Net.Http.Headers;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Records;

/// <summary>What people ask about investigations, runbooks, prompts and artifacts, for tests that play them.</summary>
internal static class RecordCalls
{
    public static CreateArtifactRequest Note(string text = "It was full.") => new() { Kind = ArtifactKind.Note, Title = "Disk", Text = text };

    public static async Task<InvestigationBody> NewInvestigationAsync(this HttpClient client, string title = "Why is it slow?") =>
        await (await client.PostJsonAsync("/api/investigations", new CreateInvestigationRequest { Title = title })).BodyAsync<InvestigationBody>();

    public static async Task<ArtifactBody> AddAsync(this HttpClient client, string place, CreateArtifactRequest request) =>
        await (await client.PostJsonAsync(place + "/artifacts", request)).BodyAsync<ArtifactBody>();

    public static Task<HttpResponseMessage> UploadAsync(this HttpClient client, string place, byte[] bytes, string query, string? type = "application/pdf")
    {
        var content = new ByteArrayContent(bytes);
        if (type is not null) content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        var request = new HttpRequestMessage(HttpMethod.Post, $"{place}/artifacts/files?{query}") { Content = content };
        // A refusal of a large body comes before the body; whoever goes on sending may lose it to the closed connection.
        request.Headers.ExpectContinue = bytes.Length > WireLimits.MaxBodyBytes;
        return client.SendAsync(request, TestContext.Current.CancellationToken);
    }

    public static async Task<IReadOnlyList<ArtifactBody>> ArtifactsAsync(this HttpClient client, string place) =>
        (await client.GetBodyAsync<Page<ArtifactBody>>(place + "/artifacts")).Items;

    /// <summary>An active runbook that needs a service and may be told how hard.</summary>
    public static CreateRunbookRequest Restart(string name = "restart", params string[] workstations) => new()
    {
        Name = name,
        IntentTemplate = "Restart {{service}}",
        Parameters = [new() { Name = "service", Description = "the unit" }, new() { Name = "force", Default = "no" }],
        Command = new CommandSpec { Argv = ["systemctl", "restart", "{{service}}"] },
        DefaultConstraints = new RunbookConstraints { Targets = new TargetSpec { Workstations = workstations.Length == 0 ? ["box"] : workstations }, TimeoutSeconds = 60 },
        Status = RunbookStatus.Active,
    };

    public static async Task<RunbookBody> NewRunbookAsync(this HttpClient client, CreateRunbookRequest request) =>
        await (await client.PostJsonAsync("/api/runbooks", request)).BodyAsync<RunbookBody>();

    public static async Task<IEnumerable<string>> WrongFieldsAsync(this Task<HttpResponseMessage> response) =>
        (await response.ProblemAsync(System.Net.HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order();

    /// <summary>The actions that the audit log has of this thing, in order.</summary>
    public static Task<IReadOnlyList<string>> AuditAsync(this ServerFixture server, string subject) => server.Database.ReadAsync(
        sql => sql.ListAsync<string>("SELECT action FROM audit_events WHERE subject = @subject ORDER BY at, id", new { subject }), TestContext.Current.CancellationToken);
}
