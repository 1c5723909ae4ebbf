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

    /// <summary>
    /// Compares what is pending now with what a reader knows to be: so many differences, what ended before what is new (a question that was asked anew), each oldest first.
    /// It costs one index of ids when there is none, and one more statement when there are.
    /// </summary>
    public Task<InboxChange> ChangesAsync(string organizationId, IReadOnlySet<string> known, int limit, CancellationToken cancellationToken) => database.ReadAsync(async sql =>
    {
        var pending = await sql.ListAsync<string>("SELECT id FROM approvals WHERE organization_id = @organizationId AND state = 'pending'", new { organizationId });
        List<string> changed = [.. known.Except(pending).Order(StringComparer.Ordinal), .. pending.Where(id => !known.Contains(id)).Order(StringComparer.Ordinal)];
        if (changed.Count == 0) return new InboxChange([], More: false, Gone: false);
        var ids = changed.Take(limit).ToList();
        var rows = await sql.ListAsync<ApprovalRow>(Select + $" AND {sql.IsOneOf("a.id", "ids")} ORDER BY CASE WHEN a.state = 'pending' THEN 1 ELSE 0 END, a.id",
            new { organizationId, ids = JsonSerializer.Serialize(ids) });
        return new InboxChange(rows, changed.Count > limit, Gone: rows.Count < ids.Count);
    }, cancellationToken);

    public static Task<IReadOnlyList<ApprovalRow>> OfTaskAsync(SqlSession sql, string organizationId, string taskId) =>
        sql.ListAsync<ApprovalRow>(Select + " AND a.task_id = @taskId ORDER BY a.number", new { organizationId, taskId });
}

/// <summary>What a reader of the inbox does not know yet.</summary>
/// <param name="Rows">Each as it is now: pending, or what became of it.</param>
/// <param name="More">There are further ones.</param>
/// <param name="Gone">Some that the reader knows were deleted, with their tasks.</param>
internal sealed record InboxChange(IReadOnlyList<ApprovalRow> Rows, bool More, bool Gone);
