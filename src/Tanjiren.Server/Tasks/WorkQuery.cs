using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks;

/// <summary>What a workstation may claim right now, and which of its steps somebody wants cancelled. Other features ask here; they never read the steps.</summary>
internal sealed class WorkQuery(TimeProvider clock, WorkstationOptions workstations)
{
    /// <summary>
    /// At most ten, highest priority first, oldest first within one. Steps that a claim would refuse (maxParallel reached, frozen, kept from this machine, without the approval that they need)
    /// are left out, or the long-poll would answer at once again and again; so are those of tasks that are held.
    /// An offline machine is given nothing (W-06): its next heartbeat carries what waits.
    /// </summary>
    public async Task<IReadOnlyList<PendingStep>> PendingAsync(SqlSession sql, string organizationId, string instanceId)
    {
        var now = clock.GetUtcNow().ToUnixTimeMilliseconds();
        var machine = await sql.FirstAsync<MachineRow>("""
            SELECT draining, agent_draining, tags, labels, coding_agents, last_heartbeat_at,
              EXISTS (SELECT 1 FROM oauth_grants g WHERE g.id = i.grant_id AND g.revoked_at IS NOT NULL) AS signed_out
            FROM instances i WHERE id = @instanceId AND removed_at IS NULL
            """, new { instanceId });
        if (machine is null || WorkerRules.Unready(machine.AsWorker(now, workstations)).Any()) return [];

        var found = await sql.ListAsync<PendingRow>(OwnSql, new { instanceId, now, limit = WireLimits.MaxPendingTasks });
        // Each by itself: of one selector the index has the steps in order and the statement ends with the tenth, of several together it would read and sort all that are queued.
        foreach (var selector in await MatchingSelectorsAsync(sql, organizationId, instanceId, machine))
        {
            // Its first step stands behind all that were found, and so do its others and those of the selectors after it.
            if (found.Count == WireLimits.MaxPendingTasks && !selector.StandsBefore(found[^1])) break;
            var more = await sql.ListAsync<PendingRow>(OfSelectorSql, new { selector.Id, instanceId, now, limit = WireLimits.MaxPendingTasks });
            found = [.. found.Concat(more).OrderByDescending(s => s.Priority).ThenBy(s => s.Id, StringComparer.Ordinal).Take(WireLimits.MaxPendingTasks)];
        }
        return [.. found.Select(s => new PendingStep
        {
            StepId = s.Id, TaskId = s.TaskId, ExpectedGeneration = s.LeaseGeneration, Intent = s.Intent, Priority = s.Priority,
            TraceParent = s.TraceParent,
        })];
    }

    /// <summary>Cancels that this session has yet to resolve.</summary>
    public Task<IReadOnlyList<LeaseNotice>> CancelsAsync(SqlSession sql, string instanceId, string sessionId) => sql.ListAsync<LeaseNotice>("""
        SELECT id AS step_id, lease_generation FROM steps
        WHERE lease_holder = @instanceId AND state = 'running' AND lease_session = @sessionId AND cancel_requested_at IS NOT NULL
        """, new { instanceId, sessionId });

    /// <summary>Steps that are meant for this machine.</summary>
    internal static readonly string OwnSql = Select("s.target_instance_id = @instanceId");

    /// <summary>Steps of one selector.</summary>
    internal static readonly string OfSelectorSql = Select("s.selector_id = @Id");

    /// <summary>
    /// The selectors of queued steps, each with its first step, whether that may start or not. From one to the next in the index: what nobody waits for any more costs
    /// nothing, and one that a thousand steps wait for no more than any other.
    /// </summary>
    internal const string WaitingSelectorsSql = """
        WITH RECURSIVE waiting (id) AS (
          SELECT (SELECT s.selector_id FROM steps s WHERE s.organization_id = @organizationId AND s.state = 'queued' AND s.selector_id IS NOT NULL ORDER BY s.selector_id LIMIT 1)
          UNION ALL
          SELECT (SELECT s.selector_id FROM steps s WHERE s.organization_id = @organizationId AND s.state = 'queued' AND s.selector_id IS NOT NULL AND s.selector_id > w.id
                  ORDER BY s.selector_id LIMIT 1)
          FROM waiting w WHERE w.id IS NOT NULL)
        SELECT c.id, c.canonical,
          (SELECT s.priority FROM steps s WHERE s.selector_id = c.id AND s.state = 'queued' ORDER BY s.priority DESC, s.id LIMIT 1) AS priority,
          (SELECT s.id FROM steps s WHERE s.selector_id = c.id AND s.state = 'queued' ORDER BY s.priority DESC, s.id LIMIT 1) AS first_step_id
        FROM waiting w JOIN selectors c ON c.id = w.id
        """;

    private static string Select(string target) => $"""
        SELECT s.id, s.task_id, s.lease_generation, s.priority, t.intent, t.trace_parent
        FROM steps s JOIN executions e ON e.id = s.execution_id JOIN tasks t ON t.id = s.task_id
        WHERE s.state = 'queued' AND {target} AND {StartRules.StartableSql}
          AND NOT EXISTS (SELECT 1 FROM step_holds h WHERE h.step_id = s.id AND h.instance_id = @instanceId AND {StartRules.KeptFromSql})
        ORDER BY s.priority DESC, s.id LIMIT @limit
        """;

    /// <summary>Whichever has the first step before the others.</summary>
    private static async Task<IEnumerable<SelectorRow>> MatchingSelectorsAsync(SqlSession sql, string organizationId, string instanceId, MachineRow machine)
    {
        var waiting = await sql.ListAsync<SelectorRow>(WaitingSelectorsSql, new { organizationId });
        if (waiting.Count == 0) return [];
        var tags = JsonSerializer.Deserialize<string[]>(machine.Tags)!;
        var labels = JsonSerializer.Deserialize<Dictionary<string, string>>(machine.Labels)!;
        var codingAgents = JsonSerializer.Deserialize<string[]>(machine.CodingAgents)!;
        return waiting.Where(s => TargetSelector.Parse(s.Canonical).Matches(instanceId, tags, labels, codingAgents)).OrderByDescending(s => s.Priority).ThenBy(s => s.FirstStepId, StringComparer.Ordinal);
    }

    private sealed record MachineRow
    {
        public int Draining { get; init; }
        public int AgentDraining { get; init; }
        public long? LastHeartbeatAt { get; init; }
        public bool SignedOut { get; init; }
        public string Tags { get; init; } = "[]";
        public string Labels { get; init; } = "{}";
        public string CodingAgents { get; init; } = "[]";

        /// <summary>That it is who it says is proved by its request. At full capacity it is told what waits all the same: when it has room again, nobody knows sooner than itself.</summary>
        public WorkerState AsWorker(long now, WorkstationOptions options) => new()
        {
            Online = InstanceRow.IsOnline(LastHeartbeatAt, now, options), Trusted = true, SignedOut = SignedOut, Draining = Draining != 0 || AgentDraining != 0,
            Active = 0, MaxConcurrent = 1,
        };
    }

    private sealed record SelectorRow
    {
        public string Id { get; init; } = "";
        public string Canonical { get; init; } = "";
        public int Priority { get; init; }
        public string FirstStepId { get; init; } = "";

        public bool StandsBefore(PendingRow step) => Priority != step.Priority ? Priority > step.Priority : string.CompareOrdinal(FirstStepId, step.Id) < 0;
    }

    private sealed record PendingRow
    {
        public string Id { get; init; } = "";
        public string TaskId { get; init; } = "";
        public long LeaseGeneration { get; init; }
        public int Priority { get; init; }
        public string Intent { get; init; } = "";
        public string? TraceParent { get; init; }
    }
}
