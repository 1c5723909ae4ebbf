using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Records;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Investigations;

/// <summary>Makes, changes and deletes investigations; each one transaction with its audit row.</summary>
internal sealed class InvestigationService(Database database, InvestigationDirectory directory, RecordMaker maker, AuditLog audit, TimeProvider clock)
{
    public Task<RecordResult<InvestigationRow>> CreateAsync(Caller caller, CreateInvestigationRequest request, IdempotencyKey? key, CancellationToken cancellationToken) =>
        maker.MakeAsync(caller, key, Ids.Investigation, (tx, id) => directory.FindAsync(tx, caller.OrganizationId, id), async (tx, id) =>
        {
            var title = request.Title!.Trim();
            await tx.ExecuteAsync("""
                INSERT INTO investigations (id, organization_id, title, objective, hypothesis, findings, status, version, created_by, created_at, updated_at)
                VALUES (@id, @OrganizationId, @title, @objective, @hypothesis, @findings, 'open', 1, @UserId, @now, @now)
                """,
                new
                {
                    id, caller.OrganizationId, title, objective = request.Objective ?? "", hypothesis = request.Hypothesis ?? "", findings = request.Findings ?? "",
                    caller.UserId, now = NowMs(),
                });
            await audit.AppendAsync(tx, caller, "investigation.created", id, title);
            return null;
        }, cancellationToken);

    public Task<RecordResult<InvestigationRow>> UpdateAsync(Caller caller, string id, UpdateInvestigationRequest request, CancellationToken cancellationToken) =>
        database.WriteAsync<RecordResult<InvestigationRow>>(async tx =>
        {
            // Two who change it at once: the second waits here, and then finds another version than it read.
            if (await directory.LockToChangeAsync(tx, caller.OrganizationId, id) is not { } row) return Missing(id);
            if (row.Version != request.Version) return RecordProblems.Stale("investigation", row.Version);
            var open = request.Status is null ? row.IsOpen : request.Status == InvestigationStatus.Open;
            var change = new
            {
                id, caller.OrganizationId, row.Version, now = NowMs(), status = open ? "open" : "closed", closedAt = open ? (long?)null : row.ClosedAt ?? NowMs(),
                title = request.Title?.Trim() ?? row.Title, objective = request.Objective ?? row.Objective, hypothesis = request.Hypothesis ?? row.Hypothesis,
                findings = request.Findings ?? row.Findings,
            };
            await tx.ExecuteAsync("""
                UPDATE investigations SET title = @title, objective = @objective, hypothesis = @hypothesis, findings = @findings, status = @status, closed_at = @closedAt,
                  updated_at = @now, version = version + 1
                WHERE id = @id AND organization_id = @OrganizationId AND version = @Version
                """, change);
            var action = open == row.IsOpen ? "investigation.updated" : open ? "investigation.reopened" : "investigation.closed";
            await audit.AppendAsync(tx, caller, action, id, change.title);
            return (await directory.FindAsync(tx, caller.OrganizationId, id))!;
        }, cancellationToken);

    /// <summary>Only one that nothing belongs to: what was found must not lose what it was found for.</summary>
    public Task<Problem?> DeleteAsync(Caller caller, string id, CancellationToken cancellationToken) => database.WriteAsync<Problem?>(async tx =>
    {
        if (await directory.LockToDeleteAsync(tx, caller.OrganizationId, id) is not { } row) return Missing(id);
        if (RecordProblems.NotYours(caller, "investigation", row.CreatedBy) is { } refusal) return refusal;
        if (await TaskStore.AnyInInvestigationAsync(tx, caller.OrganizationId, id) || await Artifacts.ArtifactStore.AnyInInvestigationAsync(tx, caller.OrganizationId, id))
            return Problem.Conflict(ErrorCode.StateConflict, "Tasks or artifacts belong to this investigation.", "Close it instead, or delete its artifacts first.", row.Status);
        await tx.ExecuteAsync("DELETE FROM investigations WHERE id = @id AND organization_id = @OrganizationId", new { id, caller.OrganizationId });
        await audit.AppendAsync(tx, caller, "investigation.deleted", id, row.Title);
        return null;
    }, cancellationToken);

    public static Problem Missing(string id) => Problem.NotFound("investigation", id);

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();
}
