using System.Text.Json;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>Reading approvals, within one organization.</summary>
internal sealed class ApprovalStore(Database database)
{
    private const string Select = "SELECT a.*, t.intent FROM approvals a JOIN tasks t ON t.id = a.task_id WHERE a.organization_id = @organizationId";

    /// <summary>The oldest first: what has waited longest is on top.</summary>
    public Task<IReadOnlyList<ApprovalRow>> PageAsync(string organizationId, string? state, string after, int fetch, CancellationToken cancellationToken) =>
        database.ReadAsync(sql => sql.ListAsync<ApprovalRow>(Select + (state is null ? "" : " AND a.state = @state") + " AND a.id > @after ORDER BY a.id LIMIT @fetch",
            new { organizationId, state, after, fetch }), cancellationToken);

    /// <summary>The ids of those that are pending: one index, and no row.</summary>
    public Task<IReadOnlyList<string>> PendingAsync(string organizationId, CancellationToken cancellationToken) => database.ReadAsync(
        sql => sql.ListAsync<string>("SELECT id FROM approvals WHERE organization_id = @organizationId AND state = 'pending'", new { organizationId }), cancellationToken);

    /// <summary>These as they are now, those that ended before those that are pending, each oldest first. Fewer, when some were deleted with their tasks.</summary>
    public Task<IReadOnlyList<ApprovalRow>> ListAsync(string organizationId, IReadOnlyCollection<string> ids, CancellationToken cancellationToken) => database.ReadAsync(
        sql => sql.ListAsync<ApprovalRow>(Select + $" AND {sql.IsOneOf("a.id", "ids")} ORDER BY CASE WHEN a.state = 'pending' THEN 1 ELSE 0 END, a.id",
            new { organizationId, ids = JsonSerializer.Serialize(ids) }), cancellationToken);

    public static Task<IReadOnlyList<ApprovalRow>> OfTaskAsync(SqlSession sql, string organizationId, string taskId) =>
        sql.ListAsync<ApprovalRow>(Select + " AND a.task_id = @taskId ORDER BY a.number", new { organizationId, taskId });
}
