using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>That the invariants of people and their sign-ins can be broken at all: each row does to the database what the server must never do.</summary>
public sealed class DatabaseInvariantsTests
{
    [Theory]
    [InlineData("whoever came in is a member until they go", "DELETE FROM memberships WHERE user_id = 'USER'")]
    [InlineData("each invitation is in the audit log", "DELETE FROM audit_events WHERE action = 'invitation.created'")]
    [InlineData("an invitation is accepted once, by who is recorded", "UPDATE invitations SET accepted_by = created_by WHERE accepted_by IS NOT NULL")]
    [InlineData("an invitation is accepted once, by who is recorded", "UPDATE invitations SET accepted_by = NULL, accepted_at = NULL")]
    [InlineData("who came in by an invitation is a member or has gone", "DELETE FROM memberships WHERE user_id IN (SELECT accepted_by FROM invitations)")]
    [InlineData("an invitation for an address was accepted by it", "UPDATE invitations SET email = 'else@example.test'")]
    [InlineData("a revoked invitation is in the audit log once", "UPDATE invitations SET revoked_at = 1 WHERE accepted_at IS NULL")]
    [InlineData("whose invitation is open may still invite", "UPDATE memberships SET role = 'member' WHERE user_id IN (SELECT created_by FROM invitations)")]
    [InlineData("every organization has a doctrine, its versions are numbered without holes", "DELETE FROM doctrine_versions")]
    [InlineData("every organization has a doctrine, its versions are numbered without holes", "UPDATE doctrine_versions SET version = 2")]
    [InlineData("each version of a doctrine is in the audit log with its author", "UPDATE doctrine_versions SET version = 2, created_by = 'USER'")]
    [InlineData("a sign-in was approved once, by its person", "DELETE FROM oauth_device_codes")]
    [InlineData("a sign-in was approved once, by its person", "UPDATE oauth_grants SET user_id = 'USER'")]
    [InlineData("the end of a sign-in is in the audit log once, with its reason", "UPDATE oauth_grants SET revoked_at = 1, revoke_reason = 'signed_out'")]
    [InlineData("each denied device is in the audit log", "UPDATE oauth_device_codes SET state = 'denied', grant_id = NULL")]
    [InlineData("whose sign-in has not ended is a member", "UPDATE oauth_grants SET user_id = 'USER'")]
    [InlineData("the refresh tokens of a sign-in are numbered without holes, and its newest is the one that is good", "UPDATE oauth_refresh_tokens SET number = 2")]
    [InlineData("the refresh tokens of a sign-in are numbered without holes, and its newest is the one that is good", "UPDATE oauth_grants SET refresh_parent = 1")]
    [InlineData("each exchange gave one access token", "DELETE FROM credentials WHERE grant_id IS NOT NULL")]
    [InlineData("an access token acts for its sign-in's person in its organization", "UPDATE credentials SET user_id = 'USER' WHERE grant_id IS NOT NULL")]
    [InlineData("a sign-in that has ended was given nothing afterwards", "UPDATE oauth_grants SET revoked_at = created_at - 1, revoke_reason = 'signed_out'")]
    [InlineData("a workstation stands on a sign-in of its organization", "UPDATE instances SET grant_id = (SELECT id FROM oauth_grants) WHERE id = 'WORKSTATION'")]
    [InlineData("an execution has steps, unless its task is planned or ended there", "DELETE FROM approvals")]
    [InlineData("a planned task has no steps and waits for an answer", "UPDATE approvals SET state = 'withdrawn'")]
    [InlineData("what is queued and needs an approval has one for just this", "UPDATE tasks SET state = 'queued' WHERE state = 'planned'")]
    [InlineData("nothing that needs an approval started without one", "UPDATE steps SET approval_from = 1000")]
    [InlineData("what has ended asks for nothing", "UPDATE tasks SET state = 'cancelled', ended_at = 1 WHERE state = 'planned'")]
    [InlineData("an approval is of its task's organization, and its answer in the audit log", "UPDATE approvals SET state = 'rejected', decided_by = 'USER', decided_at = 1")]
    [InlineData("a secret is kept for a task that names it", "INSERT INTO task_secrets (task_id, name, given_by, key_id, sealed) SELECT min(id), 'K', 'USER', 'k', x'00' FROM tasks")]
    [InlineData("a task that names secrets has them", """UPDATE tasks SET spec = replace(spec, '"intent"', '"secrets":{"K":""},"intent"')""")]
    [InlineData("each schedule is in the audit log", "DELETE FROM audit_events WHERE action = 'schedule.created'")]
    [InlineData("a schedule knows its next tick, and one that is past was dealt with", "UPDATE schedules SET last_tick_at = next_run_at")]
    [InlineData("an attempt follows one that failed or was cancelled, in the same organization", "UPDATE tasks SET retry_of_task_id = (SELECT min(id) FROM tasks) WHERE id = (SELECT max(id) FROM tasks)")]
    [InlineData("a pending attempt is of a task that failed and has none", "INSERT INTO retries (task_id, organization_id, due_at) SELECT id, organization_id, 0 FROM tasks")]
    [InlineData("each investigation is in the audit log", "DELETE FROM audit_events WHERE action = 'investigation.created'")]
    [InlineData("each runbook is in the audit log", "DELETE FROM audit_events WHERE action = 'runbook.created'")]
    [InlineData("each prompt is in the audit log", "DELETE FROM audit_events WHERE action = 'prompt.created'")]
    [InlineData("each artifact that somebody made is in the audit log", "DELETE FROM audit_events WHERE action = 'artifact.created'")]
    [InlineData("an artifact that a workstation made is an answer", "DELETE FROM step_answers")]
    [InlineData("an answer belongs to a claim, and its artifact to its task", "UPDATE step_answers SET generation = 7")]
    [InlineData("an answer belongs to a claim, and its artifact to its task", "UPDATE artifacts SET kind = 'evidence' WHERE kind = 'note'")]
    [InlineData("each change of a record is in the audit log, once for each version", "UPDATE prompts SET version = 2")]
    [InlineData("a task that has ended is summed up once, unless somebody deleted that", "DELETE FROM artifacts WHERE kind = 'summary'")]
    [InlineData("an artifact belongs to its task's organization and investigation", "UPDATE artifacts SET organization_id = (SELECT organization_id FROM instances WHERE id = 'WORKSTATION') WHERE kind = 'summary'")]
    [InlineData("an artifact's investigation is of its organization", "UPDATE investigations SET organization_id = (SELECT organization_id FROM instances WHERE id = 'WORKSTATION')")]
    [InlineData("an artifact tells its size", "UPDATE artifacts SET size_bytes = 1")]
    [InlineData("a task's investigation is there and of its organization", "UPDATE tasks SET investigation_id = 'ivg_none'")]
    [InlineData("a task's runbook was of its organization", "UPDATE tasks SET runbook_id = 'rb_none'")]
    [InlineData("what waits for an answer is asked by a step that runs under the same lease", "UPDATE permissions SET state = 'pending', ended_at = NULL, verdict = NULL, answered_by = NULL")]
    [InlineData("a question is of its step's task and organization", "UPDATE permissions SET task_id = (SELECT min(id) FROM tasks)")]
    [InlineData("each answer of a person is in the audit log", "DELETE FROM audit_events WHERE action = 'permission.denied'")]
    public async Task Each_tells_what_breaks_it(string invariant, string change)
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        await OtherOrganization.CreateAsync(server);
        var elsewhere = await server.NewInstanceAsync();
        // One invitation there is open; this one, of another organization, is accepted.
        var made = await (await server.Client.PostJsonAsync($"/api/organizations/{server.Owner.OrganizationId}/invitations", new CreateInvitationRequest { Role = Role.Admin })).BodyAsync<CreatedInvitation>();
        using var anonymous = server.NewClient(null);
        await (await anonymous.PostJsonAsync("/api/invitations/accept",
            new AcceptInvitationRequest { Code = made.Link.Split("code=")[1], Email = "new@example.test", Password = ServerFixture.Password, Name = "New" })).BodyAsync<IdentityBody>();
        using var stranger = await server.NewMemberAsync(Role.Viewer);
        var me = await stranger.GetBodyAsync<IdentityBody>("/api/auth/me");
        (await DatabaseInvariants.BrokenAsync(server)).ShouldBeEmpty();

        await server.Database.WriteAsync(tx => tx.ExecuteAsync(
            change.Replace("USER", me.UserId, StringComparison.Ordinal).Replace("WORKSTATION", elsewhere.Id, StringComparison.Ordinal)), TestContext.Current.CancellationToken);

        (await DatabaseInvariants.BrokenAsync(server)).ShouldContain(broken => broken.StartsWith($"not so: {invariant}:", StringComparison.Ordinal));
    }
}
