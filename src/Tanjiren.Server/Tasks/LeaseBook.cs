using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Leases as their holders' sessions see them: renewing, carrying over to a successor session, and telling what stands. These change only the lease's own
/// clock and session, on which no count depends, so they need no execution lock: the guard in each statement and the row's own lock decide against
/// whoever completes or reaps the step at the same moment.
/// </summary>
internal sealed class LeaseBook(Counters counters)
{
    /// <summary>
    /// Renews what the session holds, stale leases within their grace included, and leaves the generation alone (T-08). One answer for each lease named,
    /// and one for each lease of the session that was not named.
    /// </summary>
    public async Task<IReadOnlyList<LeaseAnswer>> RenewAsync(
        WriteTransaction tx, string instanceId, string sessionId, IReadOnlyList<HeldLease> held, int maxTickAgeMs)
    {
        var answers = new List<LeaseAnswer>(held.Count);
        // One order for everybody who touches several steps, so two renewals never wait for each other in a circle.
        foreach (var lease in held.OrderBy(l => l.StepId, StringComparer.Ordinal))
        {
            var alive = lease.TickAgeMs <= maxTickAgeMs;
            var row = alive
                ? await tx.FirstAsync<ClaimRow>("""
                    UPDATE steps SET lease_state = 'held', lease_expires_at = tanjiren_now() + lease_ttl_ms
                    WHERE id = @stepId AND state = 'running' AND lease_holder = @instanceId AND lease_session = @sessionId AND lease_generation = @leaseGeneration
                    RETURNING claim_id, cancel_requested_at
                    """, new { stepId = lease.StepId, instanceId, sessionId, leaseGeneration = lease.LeaseGeneration })
                : await tx.FirstAsync<ClaimRow>("""
                    SELECT claim_id, cancel_requested_at FROM steps
                    WHERE id = @stepId AND state = 'running' AND lease_holder = @instanceId AND lease_session = @sessionId AND lease_generation = @leaseGeneration
                    """, new { stepId = lease.StepId, instanceId, sessionId, leaseGeneration = lease.LeaseGeneration });
            answers.Add(row is null
                ? await EndedAsync(tx, instanceId, lease.StepId, lease.LeaseGeneration)
                : new LeaseAnswer
                {
                    StepId = lease.StepId, LeaseGeneration = lease.LeaseGeneration, ClaimId = row.ClaimId, CancelRequested = row.CancelRequestedAt is not null,
                    Standing = alive ? LeaseStanding.Held : LeaseStanding.NotRenewed,
                });
        }
        var (renewed, refused) = (answers.Count(a => a.Standing == LeaseStanding.Held), answers.Count(a => a.Standing == LeaseStanding.Lost));
        tx.OnCommit(() =>
        {
            if (renewed > 0) counters.Add(Counted.Renewals, renewed);
            if (refused > 0) counters.Add(Counted.RenewalsRefused, refused);
        });
        return [.. answers, .. await UnnamedAsync(tx, instanceId, sessionId, [.. held.Select(l => l.StepId)])];
    }

    /// <summary>Whether this session of a workstation, or any, holds a lease.</summary>
    public Task<bool> HoldsAnyAsync(SqlSession sql, string instanceId, string? sessionId) => sql.FirstAsync<bool>("""
        SELECT EXISTS (SELECT 1 FROM steps WHERE lease_holder = @instanceId AND state = 'running' AND (@any OR lease_session = @sessionId))
        """, new { instanceId, sessionId = sessionId ?? "", any = sessionId is null });

    /// <summary>Whether the step was completed by this workstation and output of that run has yet to come.</summary>
    public Task<bool> OwesOutputAsync(SqlSession sql, string instanceId, string stepId) => sql.FirstAsync<bool>("""
        SELECT EXISTS (SELECT 1 FROM steps s JOIN step_claims c ON c.step_id = s.id AND c.generation = s.completed_generation
          WHERE s.id = @stepId AND c.instance_id = @instanceId AND c.log_seq < s.final_log_seq)
        """, new { instanceId, stepId });

    /// <summary>Hands every lease of the workstation to its new session, renewed: the successor has the whole TTL to find its feet.</summary>
    public Task CarryAsync(WriteTransaction tx, string instanceId, string sessionId) => tx.ExecuteAsync("""
        UPDATE steps SET lease_session = @sessionId, lease_state = 'held', lease_expires_at = tanjiren_now() + lease_ttl_ms
        WHERE lease_holder = @instanceId AND state = 'running'
        """, new { instanceId, sessionId });

    /// <summary>What the server thinks of each step in an agent's journal, and of the leases that the journal does not know.</summary>
    public async Task<IReadOnlyList<LeaseAnswer>> ReportedAsync(
        WriteTransaction tx, string instanceId, string sessionId, IReadOnlyList<StepReport> reports)
    {
        var answers = new List<LeaseAnswer>(reports.Count);
        foreach (var report in reports)
        {
            var held = await tx.FirstAsync<HeldRow>("""
                SELECT id AS step_id, lease_generation, claim_id, cancel_requested_at FROM steps
                WHERE id = @stepId AND state = 'running' AND lease_holder = @instanceId AND lease_session = @sessionId
                  AND (lease_generation = @leaseGeneration OR @leaseGeneration IS NULL AND claim_id = @claimId)
                """, new { stepId = report.StepId, instanceId, sessionId, leaseGeneration = report.LeaseGeneration, claimId = report.ClaimId });
            answers.Add(held is null
                ? await EndedAsync(tx, instanceId, report.StepId, report.LeaseGeneration ?? 0)
                : held.ToAnswer());
        }
        return [.. answers, .. await UnnamedAsync(tx, instanceId, sessionId, [.. reports.Select(r => r.StepId)])];
    }

    private static async Task<IEnumerable<LeaseAnswer>> UnnamedAsync(WriteTransaction tx, string instanceId, string sessionId, HashSet<string> named)
    {
        var held = await tx.ListAsync<HeldRow>("""
            SELECT id AS step_id, lease_generation, claim_id, cancel_requested_at FROM steps
            WHERE lease_holder = @instanceId AND state = 'running' AND lease_session = @sessionId
            """, new { instanceId, sessionId });
        return held.Where(h => !named.Contains(h.StepId)).Select(h => h.ToAnswer());
    }

    private static async Task<LeaseAnswer> EndedAsync(WriteTransaction tx, string instanceId, string stepId, long generation)
    {
        var completed = await tx.FirstAsync<bool>("""
            SELECT EXISTS (SELECT 1 FROM steps s JOIN step_claims c ON c.step_id = s.id AND c.generation = @generation
              WHERE s.id = @stepId AND s.completed_generation = @generation AND c.instance_id = @instanceId)
            """, new { stepId, generation, instanceId });
        return new LeaseAnswer { StepId = stepId, LeaseGeneration = generation, Standing = completed ? LeaseStanding.Completed : LeaseStanding.Lost };
    }

    private sealed record ClaimRow
    {
        public string? ClaimId { get; init; }
        public long? CancelRequestedAt { get; init; }
    }

    private sealed record HeldRow
    {
        public string StepId { get; init; } = "";
        public long LeaseGeneration { get; init; }
        public string? ClaimId { get; init; }
        public long? CancelRequestedAt { get; init; }

        public LeaseAnswer ToAnswer() => new()
        {
            StepId = StepId, LeaseGeneration = LeaseGeneration, ClaimId = ClaimId, Standing = LeaseStanding.Held, CancelRequested = CancelRequestedAt is not null,
        };
    }
}
