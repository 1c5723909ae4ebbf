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

    public static Task<IReadOnlyList<ApprovalRow>> OfTaskAsync(SqlSession sql, string organizationId, string taskId) =>
        sql.ListAsync<ApprovalRow>(Select + " AND a.task_id = @taskId ORDER BY a.number", new { organizationId, taskId });
}
