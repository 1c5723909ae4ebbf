using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.DeviceTrust.Rotations;
using Tanjiren.Server.Tests.Identity.OAuth;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Server.Tests.Tasks.Permissions;
using Tanjiren.Server.Tests.Webhooks;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>
/// An organization that nobody of the fuzzer belongs to. Its ids are used against it; its names carry a mark that no request contains, so an answer with the mark
/// is a leak; and its rows are the same afterwards.
/// </summary>
internal sealed class OtherOrganization
{
    private static readonly string[] Tables =
    [
        "SELECT * FROM organizations WHERE id = @id ORDER BY id", "SELECT * FROM memberships WHERE organization_id = @id ORDER BY user_id",
        "SELECT * FROM credentials WHERE organization_id = @id ORDER BY id", "SELECT * FROM instances WHERE organization_id = @id ORDER BY id",
        "SELECT k.* FROM instance_keys k JOIN instances i ON i.id = k.instance_id WHERE i.organization_id = @id ORDER BY k.id",
        "SELECT c.* FROM pairing_codes c JOIN instances i ON i.id = c.instance_id WHERE i.organization_id = @id ORDER BY c.code_hash",
        "SELECT * FROM key_rotations WHERE organization_id = @id ORDER BY id",
        "SELECT s.* FROM instance_sessions s JOIN instances i ON i.id = s.instance_id WHERE i.organization_id = @id ORDER BY s.id",
        "SELECT * FROM doctrine_versions WHERE organization_id = @id ORDER BY version",
        "SELECT * FROM tasks WHERE organization_id = @id ORDER BY id", "SELECT * FROM executions WHERE organization_id = @id ORDER BY id",
        "SELECT * FROM approvals WHERE organization_id = @id ORDER BY id", "SELECT * FROM permissions WHERE organization_id = @id ORDER BY id",
        "SELECT * FROM selectors WHERE organization_id = @id ORDER BY id", "SELECT * FROM steps WHERE organization_id = @id ORDER BY id",
        "SELECT c.* FROM step_claims c JOIN steps s ON s.id = c.step_id WHERE s.organization_id = @id ORDER BY c.step_id, c.generation",
        "SELECT r.* FROM step_responses r JOIN steps s ON s.id = r.step_id WHERE s.organization_id = @id ORDER BY r.step_id",
        "SELECT x.* FROM task_secrets x JOIN tasks t ON t.id = x.task_id WHERE t.organization_id = @id ORDER BY x.task_id",
        "SELECT e.* FROM step_events e JOIN tasks t ON t.id = e.task_id WHERE t.organization_id = @id ORDER BY e.task_id, e.event_seq",
        "SELECT a.* FROM step_answers a JOIN steps s ON s.id = a.step_id WHERE s.organization_id = @id ORDER BY a.step_id, a.generation, a.ordinal",
        "SELECT l.* FROM step_logs l JOIN steps s ON s.id = l.step_id WHERE s.organization_id = @id ORDER BY l.step_id, l.generation, l.seq",
        "SELECT * FROM invitations WHERE organization_id = @id ORDER BY id", "SELECT * FROM oauth_grants WHERE organization_id = @id ORDER BY id",
        "SELECT t.* FROM oauth_refresh_tokens t JOIN oauth_grants g ON g.id = t.grant_id WHERE g.organization_id = @id ORDER BY t.grant_id, t.number",
        "SELECT d.* FROM oauth_device_codes d JOIN oauth_grants g ON g.id = d.grant_id WHERE g.organization_id = @id ORDER BY d.device_code_hash",
        "SELECT u.* FROM users u JOIN memberships m ON m.user_id = u.id WHERE m.organization_id = @id ORDER BY u.id",
        "SELECT * FROM schedules WHERE organization_id = @id ORDER BY id", "SELECT * FROM retries WHERE organization_id = @id ORDER BY task_id",
        "SELECT * FROM webhooks WHERE organization_id = @id ORDER BY organization_id", "SELECT * FROM webhook_deliveries WHERE organization_id = @id ORDER BY id",
        "SELECT * FROM investigations WHERE organization_id = @id ORDER BY id", "SELECT * FROM runbooks WHERE organization_id = @id ORDER BY id",
        "SELECT * FROM prompts WHERE organization_id = @id ORDER BY id", "SELECT * FROM artifacts WHERE organization_id = @id ORDER BY id",
        "SELECT id,at,actor,action,subject,detail,address FROM audit_events WHERE organization_id = @id ORDER BY id", "SELECT * FROM idempotency_keys WHERE organization_id = @id ORDER BY idempotency_key",
    ];

    private readonly Dictionary<string, List<string>> _ids = [];

    public string Id { get; private set; } = "";

    /// <summary>In every name, command and output of it.</summary>
    public string Mark { get; } = "stranger" + Guid.NewGuid().ToString("n")[..12];

    /// <summary>An id of this kind (its prefix, as <c>task_</c>), or null.</summary>
    public string? IdLike(string id, Random random)
    {
        var kind = _ids.Keys.FirstOrDefault(k => id.StartsWith(k, StringComparison.Ordinal));
        return kind is null ? null : _ids[kind][random.Next(_ids[kind].Count)];
    }

    public bool Has(string id) => _ids.Values.Any(ids => ids.Contains(id));

    public static async Task<OtherOrganization> CreateAsync(ServerFixture server)
    {
        using var founder = await server.NewMemberAsync(Role.Viewer);
        var me = await founder.GetBodyAsync<IdentityBody>("/api/auth/me");
        var other = new OtherOrganization();
        var id = (await (await founder.PostJsonAsync("/api/organizations", new CreateOrganizationRequest { Name = other.Mark })).BodyAsync<OrganizationBody>()).Id;
        other.Id = id;
        using var owner = await server.SignInAsync(me.Email, id);
        var member = await (await owner.PostJsonAsync($"/api/organizations/{id}/members",
            new AddMemberRequest { Email = other.Mark + "@example.test", Password = ServerFixture.Password, Role = Role.Admin })).BodyAsync<MemberBody>();
        using var agent = await server.NewAgentAsync(other.Mark + " machine", [other.Mark], admin: owner);
        var waiting = await server.NewInstanceAsync(other.Mark + " unpaired", admin: owner);
        await server.NewPairingCodeAsync(waiting.Id, owner);
        using var rotating = await server.NewDeviceAsync(other.Mark + " rotating", admin: owner);
        using var next = rotating.WithNewKey();
        other.Add(rotating.InstanceId, (await rotating.RequestKeyAsync(next)).Id);
        foreach (var run in new[] { true, false, false })
        {
            var task = await owner.CreateTaskAsync(TaskCalls.On(agent.InstanceId) with { Intent = other.Mark });
            other.Add(task.Id, task.StepId());
            if (!run) continue;
            await agent.ClaimAsync(task.StepId());
            await agent.AppendAsync(task.StepId(), AgentCalls.Chunk(1, other.Mark));
            await agent.CompleteAsync(task.StepId(), 1);
        }
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 10, CodingAgents = ["claude"] })).EnsureSuccessStatusCode();
        var inquiry = await owner.CreateTaskAsync(Cast.Inquiry(agent.InstanceId) with { Intent = other.Mark });
        await agent.ClaimAsync(inquiry.StepId());
        var answer = await agent.PostAsync($"/api/steps/{inquiry.StepId()}/answers", Cast.AnswerTo("what", 1) with { Problem = other.Mark, Answer = null });
        other.Add(inquiry.Id, inquiry.StepId(), (await answer.BodyAsync<StepAnswerResponse>()).ArtifactId);
        await agent.CompleteAsync(inquiry.StepId());
        var asking = await owner.CreateTaskAsync(TaskCalls.On(agent.InstanceId) with { Intent = other.Mark, ApprovalClass = ApprovalClass.SensitiveWrite });
        other.Add(asking.Id, asking.Approvals!.Single().Id);
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 10, CodingAgents = ["claude"] })).EnsureSuccessStatusCode();
        var prompted = await owner.CreateTaskAsync(new CreateTaskRequest { Mode = TaskMode.Prompt, PromptText = other.Mark, Targets = new TargetSpec { Workstations = [agent.InstanceId] } });
        await agent.ClaimAsync(prompted.StepId());
        var question = await agent.AskAsync(prompted.StepId(), PermissionCalls.Ask(other.Mark));
        await owner.AnswerAsync(question.Id, PermissionVerdict.Deny);
        await agent.CompleteAsync(prompted.StepId());
        other.Add(prompted.Id, prompted.StepId(), question.Id);
        var schedule = await owner.PostJsonAsync("/api/schedules", new CreateScheduleRequest { Name = other.Mark, Cron = "@yearly", Task = TaskCalls.On(agent.InstanceId) with { Intent = other.Mark } });
        other.Add((await schedule.BodyAsync<ScheduleBody>()).Id);
        // Set last, so that it has nothing to tell.
        (await owner.PutAsync(server.WebhookUrl(id), JsonHttp.Content(new SetWebhookRequest { Url = $"https://{other.Mark}.invalid/" }), TestContext.Current.CancellationToken)).EnsureSuccessStatusCode();
        var token = await (await owner.PostJsonAsync("/api/auth/tokens", new CreateTokenRequest { Name = other.Mark })).BodyAsync<CreatedToken>();
        var invitation = await (await owner.PostJsonAsync($"/api/organizations/{id}/invitations", new CreateInvitationRequest { Email = other.Mark + "@invited.test", Role = Role.Member })).BodyAsync<CreatedInvitation>();
        using var browser = new Browser(server, me.Email);
        await browser.LogInAsync();
        var signIn = await server.SignInDeviceAsync(browser, other.Mark, id);
        other.Add(invitation.Invitation.Id, signIn.GrantId!);
        var investigation = await (await owner.PostJsonAsync("/api/investigations", new CreateInvestigationRequest { Title = other.Mark })).BodyAsync<InvestigationBody>();
        var artifact = await (await owner.PostJsonAsync($"/api/investigations/{investigation.Id}/artifacts",
            new CreateArtifactRequest { Kind = ArtifactKind.Note, Title = other.Mark, Text = other.Mark })).BodyAsync<ArtifactBody>();
        var runbook = await (await owner.PostJsonAsync("/api/runbooks", RecordDrafts.Runbook(other.Mark))).BodyAsync<RunbookBody>();
        var prompt = await (await owner.PostJsonAsync("/api/prompts", new CreatePromptRequest { Name = other.Mark, Text = other.Mark })).BodyAsync<PromptBody>();
        other.Add(investigation.Id, artifact.Id, runbook.Id, prompt.Id);
        other.Add(id, me.UserId, member.UserId, agent.InstanceId, waiting.Id, "worker:" + agent.InstanceId, agent.SessionId!, token.Token.Id);
        return other;
    }

    /// <summary>All that the database holds of it, as text.</summary>
    public async Task<string> SnapshotAsync(ServerFixture server)
    {
        var text = new StringBuilder();
        foreach (var table in Tables)
        {
            foreach (var row in await server.Database.ReadAsync(s => s.ListAsync<object>(table, new { id = Id }), TestContext.Current.CancellationToken))
            {
                text.Append(table.Split(' ')[3]);
                foreach (var (column, value) in (IDictionary<string, object?>)row)
                    text.Append(' ').Append(column).Append('=').Append(value is byte[] bytes ? Convert.ToHexString(bytes) : value);
                text.AppendLine();
            }
        }
        return text.ToString();
    }

    private void Add(params string[] ids)
    {
        foreach (var id in ids)
        {
            var kind = id[..(id.IndexOfAny(['_', ':']) + 1)];
            if (!_ids.TryGetValue(kind, out var list)) _ids[kind] = list = [];
            list.Add(id);
        }
    }
}
