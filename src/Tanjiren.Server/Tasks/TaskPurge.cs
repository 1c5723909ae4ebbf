using System.Text.Json;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Deletes what belongs to tasks that ended long ago. A task that has not ended is never touched: every statement says so again, under the task's lock. What is to
/// outlive a task (artifacts, the audit log) refers to it by its id only. A new table that refers to tasks and shall not outlive them is deleted from here.
/// </summary>
internal sealed class TaskPurge(Database database, TimeProvider clock)
{
    private const int TasksAtOnce = 50;

    private const int SelectorsAtOnce = 50;

    /// <summary>A chunk has up to 256 KiB: a transaction stays under some tens of megabytes.</summary>
    private const int ChunksAtOnce = 100;

    /// <summary>A task whose next attempt is pending is not over yet.</summary>
    private const string HasEnded = "state IN ('completed', 'failed', 'cancelled') AND ended_at <= @cutoff AND NOT EXISTS (SELECT 1 FROM retries WHERE retries.task_id = tasks.id)";

    /// <summary>Deletes the output of tasks that ended at or before <paramref name="cutoff"/>, and answers how many chunks that were.</summary>
    public Task<int> DeleteLogsAsync(DateTimeOffset cutoff, CancellationToken cancellationToken) =>
        EachAsync("logs_deleted_at IS NULL", cutoff, (id, before) => DeleteLogsAsync(id, before, cancellationToken), cancellationToken);

    /// <summary>Deletes tasks that ended at or before <paramref name="cutoff"/> with all that belongs to them, and answers how many.</summary>
    public Task<int> DeleteTasksAsync(DateTimeOffset cutoff, CancellationToken cancellationToken) => EachAsync("1 = 1", cutoff, async (id, before) =>
    {
        await DeleteLogsAsync(id, before, cancellationToken);
        return await database.WriteAsync(tx => DeleteTaskAsync(tx, id, before), cancellationToken);
    }, cancellationToken);

    /// <summary>Deletes the selectors that no step refers to any more, and answers how many. Whoever needs one again writes it anew.</summary>
    public async Task<int> DeleteSelectorsAsync(CancellationToken cancellationToken)
    {
        var (total, after) = (0, "");
        while (true)
        {
            var found = await database.ReadAsync(sql => sql.ListAsync<string>(
                "SELECT c.id FROM selectors c WHERE c.id > @after AND NOT EXISTS (SELECT 1 FROM steps s WHERE s.selector_id = c.id) ORDER BY c.id LIMIT @SelectorsAtOnce",
                new { after, SelectorsAtOnce }), cancellationToken);
            if (found.Count > 0) total += await database.WriteAsync(tx => DeleteUnusedAsync(tx, found), cancellationToken);
            if (found.Count < SelectorsAtOnce) return total;
            after = found[^1];
        }
    }

    /// <summary>Oldest first, each once in a pass: one that stays, whatever the reason, is not met again before the next.</summary>
    private async Task<int> EachAsync(string condition, DateTimeOffset cutoff, Func<string, long, Task<int>> act, CancellationToken cancellationToken)
    {
        var (total, before) = (0, cutoff.ToUnixTimeMilliseconds());
        var after = new EndedTask();
        while (true)
        {
            var found = await database.ReadAsync(sql => sql.ListAsync<EndedTask>(
                $"SELECT id, ended_at FROM tasks WHERE {HasEnded} AND {condition} AND (ended_at, id) > (@EndedAt, @Id) ORDER BY ended_at, id LIMIT @TasksAtOnce",
                new { cutoff = before, after.EndedAt, after.Id, TasksAtOnce }), cancellationToken);
            foreach (var task in found) total += await act(task.Id, before);
            if (found.Count < TasksAtOnce) return total;
            after = found[^1];
        }
    }

    private async Task<int> DeleteLogsAsync(string taskId, long cutoff, CancellationToken cancellationToken)
    {
        int deleted;
        var total = 0;
        do
        {
            deleted = await database.WriteAsync(async tx =>
            {
                if (!await LockAsync(tx, taskId, cutoff)) return 0;
                var chunks = await tx.ExecuteAsync("""
                    DELETE FROM step_logs WHERE (step_id, generation, seq) IN
                      (SELECT step_id, generation, seq FROM step_logs WHERE task_id = @taskId ORDER BY event_seq LIMIT @ChunksAtOnce)
                    """, new { taskId, ChunksAtOnce });
                if (chunks < ChunksAtOnce)
                    await tx.ExecuteAsync("UPDATE tasks SET logs_deleted_at = @now WHERE id = @taskId", new { taskId, now = clock.GetUtcNow().ToUnixTimeMilliseconds() });
                return chunks;
            }, cancellationToken);
            total += deleted;
        }
        while (deleted == ChunksAtOnce);
        return total;
    }

    private static async Task<int> DeleteTaskAsync(WriteTransaction tx, string taskId, long cutoff)
    {
        if (!await LockAsync(tx, taskId, cutoff)) return 0;
        // Output that came after its deletion is of one chunk or two; the rest was deleted in small pieces before.
        await tx.ExecuteAsync("""
            DELETE FROM step_logs WHERE task_id = @taskId;
            DELETE FROM step_events WHERE task_id = @taskId;
            DELETE FROM step_claims WHERE step_id IN (SELECT id FROM steps WHERE task_id = @taskId);
            DELETE FROM step_answers WHERE step_id IN (SELECT id FROM steps WHERE task_id = @taskId);
            DELETE FROM permissions WHERE task_id = @taskId;
            DELETE FROM step_responses WHERE step_id IN (SELECT id FROM steps WHERE task_id = @taskId);
            DELETE FROM steps WHERE task_id = @taskId;
            DELETE FROM approvals WHERE task_id = @taskId;
            DELETE FROM task_secrets WHERE task_id = @taskId;
            DELETE FROM executions WHERE task_id = @taskId;
            """, new { taskId });
        return await tx.ExecuteAsync($"DELETE FROM tasks WHERE id = @taskId AND {HasEnded}", new { taskId, cutoff });
    }

    private static async Task<int> DeleteUnusedAsync(WriteTransaction tx, IReadOnlyList<string> selectorIds)
    {
        var arguments = new { ids = JsonSerializer.Serialize(selectorIds) };
        // Locked first and looked at in a statement of its own: who writes a step for one of them holds it, and a single statement that waited for that would not see the step.
        await tx.ListAsync<string>($"SELECT id FROM selectors WHERE {tx.IsOneOf("id", "ids")} ORDER BY id{tx.ForUpdate}", arguments);
        return await tx.ExecuteAsync($"DELETE FROM selectors WHERE {tx.IsOneOf("id", "ids")} AND NOT EXISTS (SELECT 1 FROM steps s WHERE s.selector_id = selectors.id)", arguments);
    }

    /// <summary>The order of every transaction on a task: task, then execution. False: gone, or another server's pass was faster.</summary>
    private static async Task<bool> LockAsync(WriteTransaction tx, string taskId, long cutoff)
    {
        if (await tx.FirstAsync<string>($"SELECT id FROM tasks WHERE id = @taskId AND {HasEnded}{tx.ForUpdate}", new { taskId, cutoff }) is null) return false;
        await tx.FirstAsync<string>("SELECT id FROM executions WHERE task_id = @taskId" + tx.ForUpdate, new { taskId });
        return true;
    }

    private sealed record EndedTask
    {
        public string Id { get; init; } = "";
        public long EndedAt { get; init; }
    }
}
