using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Tasks.Leases;
using Tanjiren.Server.Workstations.Sessions;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>
/// A task that needed an approval, with a lease that has run out and what else may happen to it, and a record of what took effect. Its holder may complete, give back or
/// renew; who requeues its step asks for another approval.
/// </summary>
internal sealed class LeaseScene
{
    private readonly Engine _engine;
    private readonly TaskBody _task;
    private readonly Part _running;
    private readonly Part _queued;
    private readonly Part? _lost;
    private readonly bool _approved;
    private readonly List<string> _applied = [];
    private readonly Lock _gate = new();

    private LeaseScene(Engine engine, TaskBody task, Part running, Part queued, Part? lost = null, bool approved = false) =>
        (_engine, _task, _running, _queued, _lost, _approved) = (engine, task, running, queued, lost, approved);

    /// <summary>A step by its number, and the machine that it is meant for.</summary>
    private sealed record Part(Device Machine, int Ordinal);

    public string TaskId => _task.Id;

    /// <summary>The operations that took effect.</summary>
    public IReadOnlyList<string> Applied => _applied;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Two steps under maxParallel 1: the holder's lease is on the first, and the second is queued, so that a claim wins only if the first has gone.</summary>
    public static async Task<LeaseScene> OneLeaseAsync(Engine engine, Device holder, Device other)
    {
        var task = await StartAsync(engine, maxParallel: 1, holder, other);
        await RunOutAsync(engine, holder, task.Execution!.Steps[0]);
        return new LeaseScene(engine, await engine.TaskAsync(task.Id), new Part(holder, 0), new Part(other, 1));
    }

    /// <summary>
    /// Three steps and two places: the first was lost and waits for the second approval, which is asked for, or given if <paramref name="approved"/>; the holder's lease is
    /// on the second; the third was named by the first approval, which is used.
    /// </summary>
    public static async Task<LeaseScene> LostStepAsync(Engine engine, Device lost, Device holder, Device other, bool approved)
    {
        var task = await StartAsync(engine, maxParallel: 2, lost, holder, other);
        var steps = task.Execution!.Steps;
        var claim = await engine.ClaimAsync(lost, steps[0]);
        await RunOutAsync(engine, holder, steps[1]);
        (await engine.CompleteAsync(lost, steps[0].Id, claim.Response!.LeaseGeneration, StepOutcome.Failed, StepReason.UnknownOutcome)).Kind.ShouldBe(StepMoveKind.Applied);
        (await engine.TaskAsync(task.Id)).ApprovalStatus.ShouldBe(ApprovalStatus.Pending);
        if (approved) (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Token)).ShouldBeNull();
        return new LeaseScene(engine, await engine.TaskAsync(task.Id), new Part(holder, 1), new Part(other, 2), new Part(lost, 0), approved);
    }

    public async Task RunAsync(IServiceProvider services, string operation, string who)
    {
        var (holder, running) = (_running.Machine, StepOf(_running));
        var applied = operation switch
        {
            "claim" => await ClaimAsync(services, _queued),
            "claimLost" => await ClaimAsync(services, _lost!),
            "approve" => await ApproveAsync(services),
            "takeOver" => await TakeOverAsync(services, who),
            "complete" => (await services.GetRequiredService<StepResolver>()
                .CompleteAsync(holder, running.Id, Engine.Result(running.Id, running.LeaseGeneration, exitCode: who == "A" ? 0 : 3), Token)).Kind == StepMoveKind.Applied,
            "cancel" => (await services.GetRequiredService<TaskCanceller>().CancelAsync(_engine.Owner, TaskId, null, Token)).Kind == CancelResultKind.Applied,
            "release" => (await services.GetRequiredService<StepResolver>().ReleaseAsync(holder, running.Id, running.LeaseGeneration, null, Token)).Kind == StepMoveKind.Applied,
            "renew" => (await services.GetRequiredService<HeartbeatService>().BeatAsync(holder, new HeartbeatRequest
            {
                MaxConcurrent = 10,
                Leases = [new HeldLease { StepId = running.Id, LeaseGeneration = running.LeaseGeneration, Phase = StepPhase.Running }],
            }, Token))!.Leases.Single(l => l.StepId == running.Id).Standing == LeaseStanding.Held,
            // A reconciler that has served for long enough: its gate is open.
            _ => await services.GetRequiredService<LeaseReconciler>().ReleaseStaleAsync(running.Id, Token),
        };
        if (applied)
        {
            lock (_gate) _applied.Add(operation);
        }
    }

    /// <summary>At most one of those who end the holder's lease succeeded, and the record tells which; nothing started without the approval that it needs.</summary>
    public async Task CheckStoryAsync()
    {
        var now = await _engine.TaskAsync(TaskId);
        var steps = now.Execution!.Steps;
        var story = $"{string.Join(", ", _applied)}: {now.State}, {now.ApprovalStatus}";
        var lease = steps[_running.Ordinal];
        var enders = _applied.Count(o => o is "complete" or "release" or "reap");
        enders.ShouldBeLessThanOrEqualTo(1, $"more than one ended the same lease: {story}");
        (lease.LeaseGeneration > StepOf(_running).LeaseGeneration).ShouldBe(enders == 1, "the token rises when, and only when, the lease ended: " + story);
        (_applied.Contains("renew") && _applied.Contains("reap")).ShouldBeFalse("a lease that was renewed has a whole TTL before it, one that was given up is not renewed");
        if (_applied.Contains("complete")) lease.State.ShouldBe(StepState.Succeeded);

        foreach (var (operation, part) in new[] { ("claim", _queued), ("claimLost", _lost) })
        {
            if (part is null) continue;
            var claims = _applied.Count(o => o == operation);
            claims.ShouldBeLessThanOrEqualTo(1, story);
            steps[part.Ordinal].Attempts.ShouldBe(StepOf(part).Attempts + claims, story);
        }
        if (_applied.Contains("claimLost") && !_approved) _applied.ShouldContain("approve", "it may have run before: " + story);
        if (_lost is null && _applied.Contains("approve")) _applied.ShouldContain("reap", "nothing else asks for a second start here");
        if (_applied.Contains("reap") && lease.State == StepState.Queued)
        {
            // With a lost step there may have been a question before; an answer to that is none to this one.
            if (!_applied.Contains("approve")) now.ApprovalStatus.ShouldBe(ApprovalStatus.Pending, story);
            else if (_lost is null) now.ApprovalStatus.ShouldBe(ApprovalStatus.Approved, story);
            else now.ApprovalStatus.ShouldBeOneOf(ApprovalStatus.Approved, ApprovalStatus.Pending);
        }
        (await _engine.QueryAsync<long>("""
            SELECT count(*) FROM steps s WHERE s.task_id = @TaskId AND s.state = 'running'
              AND NOT EXISTS (SELECT 1 FROM instance_sessions i WHERE i.id = s.lease_session AND i.instance_id = s.lease_holder AND i.ended_at IS NULL)
            """, new { TaskId })).ShouldBe(0, "every lease belongs to an open session");
    }

    private static async Task<TaskBody> StartAsync(Engine engine, int maxParallel, params Device[] machines)
    {
        var planned = await engine.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = [.. machines.Select(m => m.InstanceId)] },
            OnWorkerLost = OnWorkerLost.Requeue, ApprovalClass = ApprovalClass.SensitiveWrite, MaxParallel = maxParallel,
        });
        (await engine.Approvals.ApproveAsync(engine.Owner, planned.Id, null, null, Token)).ShouldBeNull();
        return await engine.TaskAsync(planned.Id);
    }

    /// <summary>Claimed, and silent until the grace is over.</summary>
    private static async Task RunOutAsync(Engine engine, Device holder, StepBody step)
    {
        (await engine.ClaimAsync(holder, step)).Refusal.ShouldBeNull();
        await engine.ExecuteAsync("UPDATE steps SET lease_state = 'stale', lease_expires_at = tanjiren_now() - lease_grace_ms - 1000 WHERE id = @Id", new { step.Id });
    }

    /// <summary>As it was when the scene was set.</summary>
    private StepBody StepOf(Part part) => _task.Execution!.Steps[part.Ordinal];

    private async Task<bool> ClaimAsync(IServiceProvider services, Part part) =>
        (await services.GetRequiredService<StepClaimer>().ClaimAsync(part.Machine, StepOf(part).Id, _engine.NewClaimId(), StepOf(part).LeaseGeneration, Token)).Refusal is null;

    /// <summary>Somebody else than who approved the first start.</summary>
    private async Task<bool> ApproveAsync(IServiceProvider services)
    {
        var ann = await _engine.AddMemberAsync("ann" + Guid.NewGuid(), Role.Admin);
        return await services.GetRequiredService<ApprovalService>().ApproveAsync(ann, TaskId, null, null, Token) is null;
    }

    /// <summary>The claimer's agent has been restarted: its successor opens a session while the claim is on its way.</summary>
    private async Task<bool> TakeOverAsync(IServiceProvider services, string who)
    {
        var other = _queued.Machine;
        var successor = other with { SessionId = Ids.New(Ids.Session, TimeProvider.System) };
        var name = await _engine.QueryAsync<string>("SELECT machine_id FROM instance_sessions WHERE id = @id", new { id = other.SessionId });
        var opened = await services.GetRequiredService<SessionStore>().OpenAsync(successor, new OpenSessionRequest
        {
            SessionId = successor.SessionId, MachineId = name, BootId = "boot", HostName = who, PreviousSessionIds = [other.SessionId],
        }, Token);
        return opened.Kind == OpenSessionKind.Opened;
    }
}
