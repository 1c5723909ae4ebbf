using System.Data.Common;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Records;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Runbooks;

/// <summary>Makes, changes and deletes runbooks; each one transaction with its audit row. A task keeps what its runbook said when it was made.</summary>
internal sealed class RunbookService(Database database, RunbookDirectory directory, RecordMaker maker, AuditLog audit, TimeProvider clock)
{
    /// <param name="caller">Who makes it.</param>
    /// <param name="fields">Normalized.</param>
    /// <param name="key">The request's key, if it came with one.</param>
    /// <param name="cancellationToken">Of the request.</param>
    public Task<RecordResult<RunbookRow>> CreateAsync(Caller caller, RunbookFields fields, IdempotencyKey? key, CancellationToken cancellationToken) =>
        maker.MakeAsync(caller, key, Ids.Runbook, (tx, id) => directory.FindAsync(tx, caller.OrganizationId, id), async (tx, id) =>
        {
            var made = await tx.ExecuteAsync("""
                INSERT INTO runbooks (id, organization_id, name, status, fields, version, created_by, updated_by, created_at, updated_at)
                VALUES (@id, @OrganizationId, @Name, @status, @json, 1, @UserId, @UserId, @now, @now) ON CONFLICT (organization_id, name) DO NOTHING
                """, new { id, caller.OrganizationId, fields.Name, status = WireNames.Of(fields.Status!.Value), json = Json(fields), caller.UserId, now = NowMs() });
            if (made == 0) return RecordProblems.NameTaken("runbook", fields.Name!);
            await audit.AppendAsync(tx, caller, "runbook.created", id, Describe(fields));
            return null;
        }, cancellationToken);

    public async Task<RecordResult<RunbookRow>> UpdateAsync(Caller caller, string idOrName, UpdateRunbookRequest request, CancellationToken cancellationToken)
    {
        try
        {
            return await database.WriteAsync(tx => UpdateAsync(tx, caller, idOrName, request), cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            return RecordProblems.NameTaken("runbook", request.Name!.Trim());
        }
    }

    public Task<Problem?> DeleteAsync(Caller caller, string idOrName, CancellationToken cancellationToken) => database.WriteAsync<Problem?>(async tx =>
    {
        if (await directory.FindAsync(tx, caller.OrganizationId, idOrName) is not { } row) return Missing(idOrName);
        if (RecordProblems.NotYours(caller, "runbook", row.CreatedBy) is { } refusal) return refusal;
        if (await tx.ExecuteAsync("DELETE FROM runbooks WHERE id = @Id AND organization_id = @OrganizationId", new { row.Id, caller.OrganizationId }) == 0) return Missing(idOrName);
        await audit.AppendAsync(tx, caller, "runbook.deleted", row.Id, row.Name);
        return null;
    }, cancellationToken);

    public static Problem Missing(string idOrName) => Problem.NotFound("runbook", idOrName);

    private async Task<RecordResult<RunbookRow>> UpdateAsync(WriteTransaction tx, Caller caller, string idOrName, UpdateRunbookRequest request)
    {
        if (await directory.FindAsync(tx, caller.OrganizationId, idOrName) is not { } row) return Missing(idOrName);
        if (row.Version != request.Version) return RecordProblems.Stale("runbook", row.Version);
        // Judged as a whole: a new command may use a parameter that an old one declares.
        var errors = new FieldErrors();
        var fields = RunbookRules.Normalize(RunbookRules.Merge(row.Says, request), errors);
        if (errors.Any) return errors.ToProblem();
        // The version guards it: of two who read the same one, the later changes nothing.
        var changed = await tx.ExecuteAsync("""
            UPDATE runbooks SET name = @Name, status = @status, fields = @json, updated_by = @UserId, updated_at = @now, version = version + 1
            WHERE id = @Id AND organization_id = @OrganizationId AND version = @Version
            """, new { fields.Name, status = WireNames.Of(fields.Status!.Value), json = Json(fields), now = NowMs(), row.Id, caller.OrganizationId, caller.UserId, row.Version });
        if (changed == 0)
            return await directory.FindAsync(tx, caller.OrganizationId, row.Id) is { } newer ? RecordProblems.Stale("runbook", newer.Version) : Missing(idOrName);
        await audit.AppendAsync(tx, caller, "runbook.updated", row.Id, Describe(fields));
        return (await directory.FindAsync(tx, caller.OrganizationId, row.Id))!;
    }

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();

    private static string Json(RunbookFields fields) => JsonSerializer.Serialize(fields with { Name = null, Status = null }, WireJson.Default.RunbookFields);

    private static string Describe(RunbookFields fields) => $"{fields.Name}; {WireNames.Of(fields.Status!.Value)}";
}
