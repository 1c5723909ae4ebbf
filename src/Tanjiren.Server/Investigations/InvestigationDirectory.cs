using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Investigations;

/// <summary>Reads investigations; what other features know of them comes from here.</summary>
internal sealed class InvestigationDirectory
{
    private const string Select = """
        SELECT id, title, objective, hypothesis, findings, status, version, created_by, created_at, updated_at, closed_at
        FROM investigations WHERE organization_id = @organizationId
        """;

    public Task<InvestigationRow?> FindAsync(SqlSession sql, string organizationId, string id) =>
        sql.FirstAsync<InvestigationRow>(Select + " AND id = @id", new { organizationId, id });

    /// <summary>
    /// The same, held until the end of the transaction for who joins it: it is neither deleted nor closed meanwhile. Shared, because the end of a task writes an artifact
    /// that refers to it: that check would wait for a stronger lock, whose holder may wait for what the task's transaction holds.
    /// </summary>
    public Task<InvestigationRow?> LockToJoinAsync(WriteTransaction tx, string organizationId, string id) => LockAsync(tx, organizationId, id, tx.ForShare);

    /// <summary>The same for who changes it.</summary>
    public Task<InvestigationRow?> LockToChangeAsync(WriteTransaction tx, string organizationId, string id) => LockAsync(tx, organizationId, id, tx.ForNoKeyUpdate);

    /// <summary>The same for who deletes it: nothing joins it, and no artifact refers to it, until that is decided.</summary>
    public Task<InvestigationRow?> LockToDeleteAsync(WriteTransaction tx, string organizationId, string id) => LockAsync(tx, organizationId, id, tx.ForUpdate);

    /// <summary>Newest first. <paramref name="before"/>: ids before this one; empty: from the newest.</summary>
    public Task<IReadOnlyList<InvestigationRow>> PageAsync(SqlSession sql, string organizationId, string? status, string before, int limit) =>
        sql.ListAsync<InvestigationRow>(
            Select + (status is null ? "" : " AND status = @status") + (before.Length == 0 ? "" : " AND id < @before") + " ORDER BY id DESC LIMIT @limit",
            new { organizationId, status, before, limit });

    /// <summary>Whether a task may join it. The answer holds until the end of the transaction.</summary>
    public async Task CheckOpenAsync(WriteTransaction tx, string organizationId, string id, FieldErrors errors)
    {
        var row = Ids.IsValid(id, Ids.Investigation) ? await LockToJoinAsync(tx, organizationId, id) : null;
        errors.Require(row is not null, "investigationId", $"there is no investigation '{id}' in this organization");
        errors.Require(row is null or { IsOpen: true }, "investigationId", $"the investigation '{id}' is closed; open it again to add tasks");
    }

    private static Task<InvestigationRow?> LockAsync(WriteTransaction tx, string organizationId, string id, string held) =>
        tx.FirstAsync<InvestigationRow>(Select + " AND id = @id" + held, new { organizationId, id });
}
