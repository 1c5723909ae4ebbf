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

    /// <summary>The same, held until the end of the transaction: nothing joins one that is being deleted, and none is deleted that something joins.</summary>
    public Task<InvestigationRow?> LockAsync(WriteTransaction tx, string organizationId, string id) =>
        tx.FirstAsync<InvestigationRow>(Select + " AND id = @id" + tx.ForUpdate, new { organizationId, id });

    /// <summary>Newest first. <paramref name="before"/>: ids before this one; empty: from the newest.</summary>
    public Task<IReadOnlyList<InvestigationRow>> PageAsync(SqlSession sql, string organizationId, string? status, string before, int limit) =>
        sql.ListAsync<InvestigationRow>(
            Select + (status is null ? "" : " AND status = @status") + (before.Length == 0 ? "" : " AND id < @before") + " ORDER BY id DESC LIMIT @limit",
            new { organizationId, status, before, limit });

    /// <summary>Whether a task may join it. The answer holds until the end of the transaction.</summary>
    public async Task CheckOpenAsync(WriteTransaction tx, string organizationId, string id, FieldErrors errors)
    {
        var row = Ids.IsValid(id, Ids.Investigation) ? await LockAsync(tx, organizationId, id) : null;
        errors.Require(row is not null, "investigationId", $"there is no investigation '{id}' in this organization");
        errors.Require(row is null or { IsOpen: true }, "investigationId", $"the investigation '{id}' is closed; open it again to add tasks");
    }
}
