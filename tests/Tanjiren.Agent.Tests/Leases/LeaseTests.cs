using Tanjiren.Agent.Leases;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.Leases;

public sealed class LeaseTests
{
    [Theory]
    [InlineData(90_000, 120_000, 205_000)] // the margin is 5 s
    [InlineData(2_000, 1_000, 2_700)]      // or a tenth
    public void A_lease_is_trusted_from_the_requests_start_until_a_margin_before_its_end(long ttl, long grace, long trusted) =>
        LeaseRules.Deadline(1_000_000, ttl, grace, TimeSpan.FromSeconds(5)).ShouldBe(1_000_000 + trusted);

    [Fact]
    public void A_late_answer_never_moves_the_deadline_back()
    {
        var lease = Granted(requestStart: 0);
        lease.Renewed(50_000, 50_000);
        var after = lease.DeadlineBootMs;

        lease.Renewed(20_000, 20_000);

        lease.DeadlineBootMs.ShouldBe(after);
    }

    [Fact]
    public void What_the_watchdog_killed_just_before_a_renewal_arrived_counts_by_the_old_deadline()
    {
        var lease = Granted(requestStart: 0);
        var old = lease.DeadlineBootMs;
        // Asked for in time; the answer came when the watchdog had struck, or just before and too late for the watchdog to hear of it.
        lease.Renewed(old - 1000, old + 300);
        lease.DeadlineAt(old + 100).ShouldBe(old);
        lease.DeadlineAt(old + 400).ShouldBe(old);
        // Before the old deadline nobody but the job itself or a stranger can have ended it, and long after the new one had arrived only the new one counts.
        lease.DeadlineAt(old - 1).ShouldBe(lease.DeadlineBootMs);
        lease.DeadlineAt(old + 10_000).ShouldBe(lease.DeadlineBootMs);
    }

    [Fact]
    public void A_renewal_leaves_the_hard_deadline_alone()
    {
        var lease = Granted(requestStart: 1000);

        lease.Renewed(500_000, 500_000);

        lease.HardDeadlineBootMs.ShouldBe(61_000);
    }

    [Fact]
    public void The_watchdogs_deadline_is_the_leases_or_a_slack_after_the_hard_one()
    {
        var lease = Granted(requestStart: 1000);

        lease.WatchdogDeadlineBootMs(TimeSpan.FromSeconds(10)).ShouldBe(71_000);
        lease.WatchdogDeadlineBootMs(TimeSpan.FromHours(1)).ShouldBe(lease.DeadlineBootMs);
        lease.Renewed(500_000, 500_000);
        lease.WatchdogDeadlineBootMs(TimeSpan.FromSeconds(10)).ShouldBe(71_000);
    }

    [Theory]
    [InlineData(90_000, 30_000)]
    [InlineData(3_000, 1_000)]
    public void Renewals_come_every_third_of_the_ttl_at_the_latest(long ttl, double interval) =>
        LeaseRules.RenewalInterval(ttl, TimeSpan.FromSeconds(30)).TotalMilliseconds.ShouldBe(interval);

    [Fact]
    public void A_hanging_renewal_leaves_time_for_another_before_the_lease_is_stale()
    {
        foreach (var ttl in new long[] { 2_000, 3_000, 90_000 })
        {
            var interval = LeaseRules.RenewalInterval(ttl, TimeSpan.FromSeconds(30));
            (interval + LeaseRules.RenewalTimeout(ttl, TimeSpan.FromSeconds(15))).TotalMilliseconds.ShouldBeLessThan(ttl);
        }
    }

    private static Lease Granted(long requestStart) => new(new ClaimResponse
    {
        StepId = "step_1", TaskId = "task_1", ExecutionId = "exe_1", Intent = "", LeaseGeneration = 1, LeaseTtlMs = 90_000, LeaseGraceMs = 120_000,
        TimeoutMs = 60_000, Command = new CommandSpec(),
    }, requestStart, TimeSpan.FromSeconds(5));

    [Theory]
    [InlineData(LeaseStanding.Held, true, true)]
    [InlineData(LeaseStanding.Held, false, false)] // listed by the server, which has not renewed it: seed 58 of the simulation ran a step that was offered to others
    [InlineData(LeaseStanding.NotRenewed, true, false)]
    [InlineData(LeaseStanding.Lost, true, false)]
    [InlineData(LeaseStanding.Completed, true, false)]
    public void Only_a_lease_that_the_heartbeat_named_is_renewed_by_its_answer(LeaseStanding standing, bool named, bool renewed) =>
        LeaseRules.IsRenewal(standing, named).ShouldBe(renewed);
}
