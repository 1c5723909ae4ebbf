using System.Text.Json;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>Reading questions, within one organization.</summary>
internal sealed class PermissionStore(Database database)
{
    private const int MaxTold = 20;

    private const string Select = """
        SELECT p.*, t.intent, t.approval_class, i.name AS instance_name, u.email AS answered_by_email
        FROM permissions p JOIN tasks t ON t.id = p.task_id LEFT JOIN instances i ON i.id = p.instance_id LEFT JOIN users u ON u.id = p.answered_by
        """;

    /// <summary>The oldest first: what has waited longest is on top.</summary>
    public Task<IReadOnlyList<PermissionRow>> PageAsync(string organizationId, string? state, string? taskId, string after, int fetch, CancellationToken cancellationToken) =>
        database.ReadAsync(sql => sql.ListAsync<PermissionRow>(Select + " WHERE p.organization_id = @organizationId" + (state is null ? "" : " AND p.state = @state")
            + (taskId is null ? "" : " AND p.task_id = @taskId") + " AND p.id > @after ORDER BY p.id LIMIT @fetch", new { organizationId, state, taskId, after, fetch }), cancellationToken);

    public Task<PermissionRow?> FindAsync(string organizationId, string id, CancellationToken cancellationToken) =>
        database.ReadAsync(sql => FindAsync(sql, organizationId, id), cancellationToken);

    public static Task<PermissionRow?> FindAsync(SqlSession sql, string organizationId, string id) =>
        sql.FirstAsync<PermissionRow>(Select + " WHERE p.id = @id AND p.organization_id = @organizationId", new { organizationId, id });

    /// <summary>The ids of those that are pending: one index, and no row.</summary>
    public Task<IReadOnlyList<string>> PendingAsync(string organizationId, CancellationToken cancellationToken) => database.ReadAsync(
        sql => sql.ListAsync<string>("SELECT id FROM permissions WHERE organization_id = @organizationId AND state = 'pending'", new { organizationId }), cancellationToken);

    /// <summary>The oldest, as many as a task tells: each may have 32 KiB, and a task a thousand steps.</summary>
    public static Task<IReadOnlyList<PermissionRow>> PendingOfTaskAsync(SqlSession sql, string organizationId, string taskId) =>
        sql.ListAsync<PermissionRow>(Select + " WHERE p.organization_id = @organizationId AND p.task_id = @taskId AND p.state = 'pending' ORDER BY p.id LIMIT @MaxTold", new { organizationId, taskId, MaxTold });

    /// <summary>These as they are now, those that ended before those that are pending, each oldest first. Fewer, when some were deleted with their tasks.</summary>
    public Task<IReadOnlyList<PermissionRow>> ListAsync(string organizationId, IReadOnlyCollection<string> ids, CancellationToken cancellationToken) =>
        database.ReadAsync(sql => ListAsync(sql, organizationId, ids), cancellationToken);

    /// <inheritdoc cref="ListAsync(string, IReadOnlyCollection{string}, CancellationToken)"/>
    public static Task<IReadOnlyList<PermissionRow>> ListAsync(SqlSession sql, string organizationId, IReadOnlyCollection<string> ids) => sql.ListAsync<PermissionRow>(
        Select + $" WHERE p.organization_id = @organizationId AND {sql.IsOneOf("p.id", "ids")} ORDER BY CASE WHEN p.state = 'pending' THEN 1 ELSE 0 END, p.id",
        new { organizationId, ids = JsonSerializer.Serialize(ids) });
}
