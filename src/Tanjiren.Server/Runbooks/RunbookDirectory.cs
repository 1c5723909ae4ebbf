using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Runbooks;

/// <summary>Reads runbooks; what other features know of them comes from here. Each is named by id or by name.</summary>
internal sealed class RunbookDirectory
{
    private const string Select = "SELECT id, name, status, fields, version, created_by, updated_by, created_at, updated_at FROM runbooks WHERE organization_id = @organizationId";

    public Task<RunbookRow?> FindAsync(SqlSession sql, string organizationId, string idOrName) =>
        sql.FirstAsync<RunbookRow>(Select + (Ids.IsValid(idOrName, Ids.Runbook) ? " AND id = @idOrName" : " AND name = @idOrName"), new { organizationId, idOrName });

    /// <summary>Oldest first.</summary>
    public Task<IReadOnlyList<RunbookRow>> PageAsync(SqlSession sql, string organizationId, string? status, string after, int limit) =>
        sql.ListAsync<RunbookRow>(Select + (status is null ? "" : " AND status = @status") + " AND id > @after ORDER BY id LIMIT @limit",
            new { organizationId, status, after, limit });

    /// <summary>One that may make tasks; null when an error was added.</summary>
    public async Task<RunbookRow?> FindActiveAsync(SqlSession sql, string organizationId, string idOrName, FieldErrors errors)
    {
        // What PostgreSQL can't take as text is nobody's name.
        var row = idOrName.Contains('\0') ? null : await FindAsync(sql, organizationId, idOrName);
        if (row is null) errors.Add("runbookId", $"there is no runbook '{idOrName}' in this organization");
        else if (row.Status != WireNames.Of(RunbookStatus.Active)) errors.Add("runbookId", $"the runbook '{row.Name}' is {(row.Status == "draft" ? "a draft" : row.Status)}; only an active one makes tasks");
        else return row;
        return null;
    }
}
