using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Tasks.Leases;
using Tanjiren.Server.Workstations.Sessions;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>
/// Every pair of operations on one task, on PostgreSQL at READ COMMITTED: the first is stopped before each of its statements in turn while the second runs, or
/// waits for a lock that the first holds; then the first goes on. Whatever the order, the counters, the fencing token and the outcome must agree.
/// </summary>
public sealed class InterleavingTests
{
    private static readonly string[] Operations = ["claim", "complete", "cancel", "release", "reap", "renew", "takeOver", "approve"];

    public static TheoryData<string, string> Pairs()
    {
        var pairs = new TheoryData<string, string>();
        foreach (var first in Operations)
        {
            foreach (var second in Operations) pairs.Add(first, second);
        }
        return pairs;
    }

    [Theory, MemberData(nameof(Pairs))]
    public async Task Any_two_operations_leave_one_consistent_story(string first, string second)
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Postgres);
        var holder = await engine.AddWorkstationAsync("holder");
        var paused = 0;
        for (var pauseBefore = 1; ; pauseBefore++)
        {
            var scene = await Scene.SetAsync(engine, holder, await engine.AddWorkstationAsync($"other {pauseBefore}"));
            if (!await InterleaveAsync(engine, scene.RunAsync, first, second, pauseBefore)) break;
            paused++;
            await engine.CheckInvariantsAsync(scene.TaskId);
            await scene.CheckStoryAsync();
        }
        paused.ShouldBeGreaterThan(2, "the first operation was hardly ever stopped: the suite would prove nothing");
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

    /// <summary>
    /// Two steps under maxParallel 1: the holder's lease on the first has run out, so that it may complete, give back, renew or be reaped; the second is
    /// queued, so that a claim wins only if the first has gone. The task needed an approval, which the first claim used: who requeues the first asks for another.
    /// </summary>
    private sealed class Scene(Engine engine, Device holder, Device other, TaskBody task, long generation)
    {
        private readonly List<string> _applied = [];
        private readonly Lock _gate = new();

        public string TaskId => task.Id;

        public static async Task<Scene> SetAsync(Engine engine, Device holder, Device other)
        {
            var planned = await engine.CreateTaskAsync(new CreateTaskRequest
            {
                Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = [holder.InstanceId, other.InstanceId] },
                OnWorkerLost = OnWorkerLost.Requeue, ApprovalClass = ApprovalClass.SensitiveWrite,
            });
            (await engine.Approvals.ApproveAsync(engine.Owner, planned.Id, null, null, TestContext.Current.CancellationToken)).ShouldBeNull();
            var task = await engine.TaskAsync(planned.Id);
            var steps = task.Execution!.Steps;
            var held = await engine.ClaimAsync(holder, steps[0]);
            await engine.ExecuteAsync("""
                UPDATE steps SET lease_state = 'stale', lease_expires_at = tanjiren_now() - lease_grace_ms - 1000 WHERE id = @id
                """, new { id = steps[0].Id });
            return new Scene(engine, holder, other, task, held.Response!.LeaseGeneration);
        }

        public async Task RunAsync(IServiceProvider services, string operation, string who)
        {
            var token = TestContext.Current.CancellationToken;
            var (running, queued) = (task.Execution!.Steps[0], task.Execution.Steps[1]);
            var applied = operation switch
            {
                "claim" => (await services.GetRequiredService<StepClaimer>()
                    .ClaimAsync(other, queued.Id, engine.NewClaimId(), queued.LeaseGeneration, token)).Refusal is null,
                "approve" => await ApproveAsync(services, token),
                "takeOver" => await TakeOverAsync(services, who, token),
                "complete" => (await services.GetRequiredService<StepResolver>()
                    .CompleteAsync(holder, running.Id, Engine.Result(running.Id, generation, exitCode: who == "A" ? 0 : 3), token)).Kind == StepMoveKind.Applied,
                "cancel" => (await services.GetRequiredService<TaskCanceller>().CancelAsync(engine.Owner, task.Id, null, token)).Kind == CancelResultKind.Applied,
                "release" => (await services.GetRequiredService<StepResolver>().ReleaseAsync(holder, running.Id, generation, null, token)).Kind == StepMoveKind.Applied,
                "renew" => (await services.GetRequiredService<HeartbeatService>().BeatAsync(holder, new HeartbeatRequest
                {
                    MaxConcurrent = 10,
                    Leases = [new HeldLease { StepId = running.Id, LeaseGeneration = generation, Phase = StepPhase.Running }],
                }, token))!.Leases.Single(l => l.StepId == running.Id).Standing == LeaseStanding.Held,
                _ => await ReapAsync(services, token),
            };
            if (applied)
            {
                lock (_gate) _applied.Add(operation);
            }
        }

        /// <summary>At most one of those who end the holder's lease succeeded, and the record tells which.</summary>
        public async Task CheckStoryAsync()
        {
            var steps = (await engine.TaskAsync(task.Id)).Execution!.Steps;
            var enders = _applied.Count(o => o is "complete" or "release" or "reap");
            enders.ShouldBeLessThanOrEqualTo(1, $"more than one ended the same lease: {string.Join(", ", _applied)}");
            (steps[0].LeaseGeneration > generation).ShouldBe(enders == 1, "the token rises when, and only when, the lease ended");
            (_applied.Contains("renew") && _applied.Contains("reap")).ShouldBeFalse("a lease that was renewed has a whole TTL before it, one that was given up is not renewed");
            if (_applied.Contains("complete")) steps[0].State.ShouldBe(StepState.Succeeded);
            if (_applied.Contains("claim")) steps[1].Attempts.ShouldBe(1);
            else steps[1].Attempts.ShouldBe(0);
            _applied.Count(o => o == "claim").ShouldBeLessThanOrEqualTo(1);
            if (_applied.Contains("approve")) _applied.ShouldContain("reap", "nothing else asks for a second start here");
            if (steps[0].State == StepState.Queued && _applied.Contains("reap"))
                (await engine.TaskAsync(task.Id)).ApprovalStatus.ShouldBe(_applied.Contains("approve") ? ApprovalStatus.Approved : ApprovalStatus.Pending);
            (await engine.QueryAsync<long>("""
                SELECT count(*) FROM steps s WHERE s.task_id = @taskId AND s.state = 'running'
                  AND NOT EXISTS (SELECT 1 FROM instance_sessions i WHERE i.id = s.lease_session AND i.instance_id = s.lease_holder AND i.ended_at IS NULL)
                """, new { taskId = task.Id })).ShouldBe(0, "every lease belongs to an open session");
        }

        /// <summary>Somebody else than who approved the first start; there is something to approve only when the step was given up.</summary>
        private async Task<bool> ApproveAsync(IServiceProvider services, CancellationToken token)
        {
            var ann = await engine.AddMemberAsync("ann" + Guid.NewGuid(), Role.Admin);
            return await services.GetRequiredService<ApprovalService>().ApproveAsync(ann, task.Id, null, null, token) is null;
        }

        /// <summary>The claimer's agent has been restarted: its successor opens a session while the claim is on its way.</summary>
        private async Task<bool> TakeOverAsync(IServiceProvider services, string who, CancellationToken token)
        {
            var successor = other with { SessionId = Ids.New(Ids.Session, TimeProvider.System) };
            var name = await engine.QueryAsync<string>("SELECT machine_id FROM instance_sessions WHERE id = @id", new { id = other.SessionId });
            var opened = await services.GetRequiredService<SessionStore>().OpenAsync(successor, new OpenSessionRequest
            {
                SessionId = successor.SessionId, MachineId = name, BootId = "boot", HostName = who, PreviousSessionIds = [other.SessionId],
            }, token);
            return opened.Kind == OpenSessionKind.Opened;
        }

        /// <summary>A reconciler that has served for long enough: its gate is open.</summary>
        private async Task<bool> ReapAsync(IServiceProvider services, CancellationToken token)
        {
            var reconciler = services.GetRequiredService<LeaseReconciler>();
            return await reconciler.ReleaseStaleAsync(task.Execution!.Steps[0].Id, token);
        }
    }
}
