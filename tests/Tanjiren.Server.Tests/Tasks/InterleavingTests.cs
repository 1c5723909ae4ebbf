using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>
/// Every pair of operations on one task, on PostgreSQL at READ COMMITTED: the first is stopped before each of its statements in turn while the second runs, or
/// waits for a lock that the first holds; then the first goes on. Whatever the order, the counters, the fencing token and the outcome must agree.
/// </summary>
public sealed class InterleavingTests
{
    private static readonly string[] OnALease = ["complete", "cancel", "release", "reap", "renew", "takeOver", "claim"];

    public static TheoryData<string, string> Pairs()
    {
        var pairs = new TheoryData<string, string>();
        foreach (var first in OnALease)
        {
            foreach (var second in OnALease) pairs.Add(first, second);
        }
        // Only a step that was given up asks for another approval; all others are beside a question in the second scene.
        pairs.Add("approve", "reap");
        pairs.Add("reap", "approve");
        return pairs;
    }

    [Theory, MemberData(nameof(Pairs))]
    public async Task Any_two_operations_on_a_lease_leave_one_consistent_story(string first, string second)
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Postgres);
        await EachPauseAsync(engine, first, second, NeverApplies, async n =>
            await LeaseScene.OneLeaseAsync(engine, await engine.AddWorkstationAsync($"holder {n}"), await engine.AddWorkstationAsync($"other {n}")));

        // The one place is the holder's until somebody ends its lease.
        bool NeverApplies(string operation) => operation == "claim" && !new[] { first, second }.Any(o => o is "complete" or "release" or "reap");
    }

    /// <summary>Those that are about the lost step, with each other and with all others.</summary>
    public static TheoryData<string, string> PairsOnALostStep()
    {
        var pairs = new TheoryData<string, string>();
        string[] onLost = ["approve", "claimLost"];
        string[] all = [.. OnALease, .. onLost];
        foreach (var first in all)
        {
            foreach (var second in all.Where(second => onLost.Contains(first) || onLost.Contains(second))) pairs.Add(first, second);
        }
        return pairs;
    }

    [Theory, MemberData(nameof(PairsOnALostStep))]
    public async Task Any_two_operations_beside_a_step_that_may_have_run_leave_one_consistent_story(string first, string second)
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Postgres);
        // Without an answer the lost step could not be claimed: where nobody gives one meanwhile, it was given before.
        var approved = first != "approve" && second != "approve";
        await EachPauseAsync(engine, first, second, _ => false, async n => await LeaseScene.LostStepAsync(
            engine, await engine.AddWorkstationAsync($"lost {n}"), await engine.AddWorkstationAsync($"holder {n}"), await engine.AddWorkstationAsync($"other {n}"), approved));
    }

    /// <summary>
    /// The first is stopped before each of its statements in turn, each time in a scene of its own. Over all of them each of the two must have taken effect at least once,
    /// but for the exceptions that are named: a pair in which one does nothing whatever the order proves nothing.
    /// </summary>
    private static async Task EachPauseAsync(Engine engine, string first, string second, Func<string, bool> neverApplies, Func<int, Task<LeaseScene>> setAsync)
    {
        var paused = 0;
        var applied = new HashSet<string>();
        for (var pauseBefore = 1; ; pauseBefore++)
        {
            var scene = await setAsync(pauseBefore);
            if (!await InterleaveAsync(engine, scene.RunAsync, first, second, pauseBefore)) break;
            paused++;
            applied.UnionWith(scene.Applied);
            await engine.CheckInvariantsAsync(scene.TaskId);
            await scene.CheckStoryAsync();
        }
        paused.ShouldBeGreaterThan(2, "the first operation was hardly ever stopped: the suite would prove nothing");
        foreach (var operation in new[] { first, second }.Distinct()) applied.Contains(operation).ShouldBe(!neverApplies(operation), operation);
    }

    /// <summary>False when the first operation has fewer statements than <paramref name="pauseBefore"/>.</summary>
    internal static async Task<bool> InterleaveAsync(Engine engine, Func<IServiceProvider, string, string, Task> run, string first, string second, int pauseBefore)
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var proceed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var statements = 0;
        await using var observed = engine.Observed(_ =>
        {
            if (Interlocked.Increment(ref statements) != pauseBefore) return Task.CompletedTask;
            reached.SetResult();
            return proceed.Task;
        });
        await using var plain = engine.Observed(_ => Task.CompletedTask);

        var firstRun = run(observed, first, "A");
        await Task.WhenAny(reached.Task, firstRun);
        if (!reached.Task.IsCompleted)
        {
            await firstRun;
            return false;
        }
        var secondRun = run(plain, second, "B");
        await Eventually.TrueAsync(async () => secondRun.IsCompleted || await engine.QueryAsync<long>(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0);
        proceed.SetResult();
        await Task.WhenAll(firstRun, secondRun);
        return true;
    }
}
