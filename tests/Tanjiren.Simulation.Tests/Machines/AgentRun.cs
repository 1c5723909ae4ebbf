using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Leases;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Simulation.Tests.Machines;

/// <summary>
/// One claim of one step, as the agent's StepRunner has it: each act that cannot be taken back is durable in the journal before it, and stopping is a request that any
/// loop makes.
/// </summary>
internal sealed class AgentRun(World world, SimulatedAgent agent, PendingStep pending, string session)
{
    private readonly Machine _machine = agent.Machine;
    private readonly long _began = world.Now;
    private Job? _job;
    private AgentUpload? _upload;
    private StopReason _stop;
    private StepPhase _phase = StepPhase.Claimed;
    private long? _firstSignalAt;
    private long _startedAt;
    private bool _treeEnded;
    private bool _givenUp;
    private bool _over;

    public string StepId => pending.StepId;
    public string ClaimId { get; } = Ids.New(Ids.Claim, DateTimeOffset.FromUnixTimeMilliseconds(world.Instant(0)));
    public Lease? Lease { get; private set; }

    public HeldLease? Held() =>
        Lease is null || _stop is StopReason.LeaseLost or StopReason.LeaseExpired or StopReason.SessionEnded && _phase != StepPhase.Uploading ? null
        : new HeldLease { StepId = StepId, LeaseGeneration = Lease.Generation, Phase = _phase };

    public void Begin() => agent.Write(new JournalEntry { Kind = JournalKind.Claiming, ClaimId = ClaimId, StepId = StepId, TaskId = pending.TaskId }, () => Claim(0));

    public void Renewed(long requestStartBootMs)
    {
        Lease!.Renewed(requestStartBootMs, _machine.BootNowMs);
        if (_job is not null) _job.WatchdogDeadlineBootMs = Lease.WatchdogDeadlineBootMs(SimulatedAgent.Timeouts.WatchdogSlack);
    }

    public void Stop(StopReason reason)
    {
        if (reason <= _stop || _treeEnded) return;
        _stop = reason;
        if (reason == StopReason.LeaseExpired) world.Ledger.Add("agent: killed at a deadline");
        if (_job is not null)
        {
            _firstSignalAt ??= _machine.BootNowMs;
            Kill(_job, reason);
        }
        if (reason >= StopReason.Abort) GiveUp();
    }

    public void LetGo()
    {
        Stop(StopReason.SessionEnded);
        GiveUp();
    }

    public void Suspend()
    {
        if (!_treeEnded && _job is not null) _job.Stopped = true;
    }

    public void Resume()
    {
        // What is being killed stays stopped until it is dead.
        if (!_treeEnded && _job is not null && _stop < StopReason.Abort) _job.Stopped = false;
    }

    /// <summary>Its process has ended.</summary>
    public void Exited(Job job, ProcessExit exit)
    {
        if (job != _job) return;
        _treeEnded = true;
        var deadline = Lease!.DeadlineAt(exit.EndedAtBootMs);
        var reason = StepResult.Effective(_stop, exit, _firstSignalAt, deadline, Math.Min(deadline, Lease.WatchdogDeadlineBootMs(SimulatedAgent.Timeouts.WatchdogSlack)));
        switch (reason)
        {
            case StopReason.LeaseLost:
                Uploading();
                _upload!.SayNothing();
                break;
            case StopReason.SessionEnded:
                Over(); // the journal says "spawned, no result": the next session's report decides
                break;
            default:
                Finish(StepResult.Of(reason, exit), Math.Max(0, exit.EndedAtBootMs - _startedAt));
                break;
        }
    }

    /// <summary>The server has the last word on it, or will never take it.</summary>
    public void Answered() => Over();

    private void Claim(int tries)
    {
        if (_over) return;
        var requestStart = _machine.BootNowMs;
        var request = new ClaimRequest { ClaimId = ClaimId, ExpectedGeneration = pending.ExpectedGeneration };
        agent.Call("claims", SimulatedAgent.Timeouts.Request, async server =>
        {
            var (reply, result) = await server.ClaimAsync(agent.As(session), StepId, request);
            world.Ledger.Add("claim: " + result);
            world.Say($"server: {_machine.Name}'s claim of {world.Names.Of(StepId)}, generation {request.ExpectedGeneration}: {result}");
            if (reply.IsOk && reply.Value!.LeaseGeneration != request.ExpectedGeneration + 1)
                world.Fail($"a claim of {world.Names.Of(StepId)} for generation {request.ExpectedGeneration} was granted as generation {reply.Value.LeaseGeneration}");
            return reply;
        }, reply =>
        {
            if (_over) return;
            if (reply.IsOk) Granted(reply.Value!, requestStart);
            else if (agent.Concerns(session, reply.Kind)) End(refused: false);
            else if (reply.Kind is not ReplyKind.Unavailable) End(refused: true);
            else if (world.Now - _began > SimulatedAgent.Timeouts.ClaimGiveUp.TotalMilliseconds) End(refused: false);
            else agent.After(agent.Backoff(tries), () => Claim(tries + 1));
        });
    }

    private void End(bool refused)
    {
        if (_over) return;
        agent.Write(new JournalEntry { Kind = JournalKind.Closed, ClaimId = ClaimId });
        agent.Claimed(this, refused);
        Over();
    }

    private void Granted(ClaimResponse claim, long requestStart)
    {
        Lease = new Lease(claim, requestStart, SimulatedAgent.Timeouts.LeaseMargin);
        agent.Claimed(this, refused: false);
        agent.Write(new JournalEntry { Kind = JournalKind.Leased, ClaimId = ClaimId, TaskId = claim.TaskId, Generation = claim.LeaseGeneration });
        agent.LeaseGranted();
        _upload = agent.Upload(ClaimId, StepId, claim.LeaseGeneration);
        _upload.Run = this;
        if (claim.CancelRequested) Stop(StopReason.Cancel);
        if (IsStoppedOrLate()) EndUnspawned();
        else agent.Write(new JournalEntry { Kind = JournalKind.Spawning, ClaimId = ClaimId, Mark = 1 }, () =>
        {
            // The disk may have taken long: look again, now that nothing but the spawn itself lies ahead.
            if (!IsStoppedOrLate()) Spawn();
            else agent.Write(new JournalEntry { Kind = JournalKind.NotSpawned, ClaimId = ClaimId }, EndUnspawned);
        });
    }

    private bool IsStoppedOrLate() => _stop != StopReason.None || _machine.BootNowMs >= Lease!.DeadlineBootMs;

    private void Spawn()
    {
        _startedAt = _machine.BootNowMs;
        _job = new Job(agent, StepId, Lease!.Generation, ClaimId)
        {
            ExitCode = world.Chance(0.7) ? 0 : 3, WatchdogDeadlineBootMs = Lease.WatchdogDeadlineBootMs(SimulatedAgent.Timeouts.WatchdogSlack),
        };
        _phase = StepPhase.Running;
        _machine.Spawn(_job, world.Chance(0.25) ? world.Between(8000, 40_000) : world.Between(5, 5000));
        agent.Write(new JournalEntry { Kind = JournalKind.Spawned, ClaimId = ClaimId, Pid = 1, StartTime = 1 });
    }

    /// <summary>It was claimed and provably never ran.</summary>
    private void EndUnspawned()
    {
        switch (_stop)
        {
            case StopReason.Cancel:
                Finish(new CompleteRequest { Outcome = StepOutcome.Cancelled, Reason = StepReason.Cancelled }, 0);
                break;
            case StopReason.Timeout:
                Finish(StepResult.Failed(StepReason.Timeout, "Its time was over before it could be started."), 0);
                break;
            case StopReason.LeaseLost:
                Uploading();
                _upload!.SayNothing();
                break;
            case StopReason.SessionEnded:
                _treeEnded = true;
                Over();
                break;
            default:
                Uploading();
                agent.Write(new JournalEntry { Kind = JournalKind.Releasing, ClaimId = ClaimId, Generation = Lease!.Generation }, () => _upload!.Release(Lease.Generation));
                break;
        }
    }

    private void Finish(CompleteRequest words, long durationMs)
    {
        _treeEnded = true;
        _phase = StepPhase.Exited;
        var result = StepResult.Seal(words, StepId, Lease!.Generation, durationMs, 0, output: null);
        agent.Write(new JournalEntry { Kind = JournalKind.Result, ClaimId = ClaimId, Result = result }, () =>
        {
            Uploading();
            _upload!.Complete(result);
        });
    }

    private void Uploading()
    {
        (_treeEnded, _phase) = (true, StepPhase.Uploading);
        if (_givenUp) Over();
    }

    /// <summary>Nobody waits any longer: for the claim's answer, or for the server's word on what ended.</summary>
    private void GiveUp()
    {
        _givenUp = true;
        if (Lease is null) End(refused: false);
        else if (_phase == StepPhase.Uploading) Over();
    }

    private void Kill(Job job, StopReason reason)
    {
        if (reason != StopReason.Cancel)
        {
            _machine.Kill(job, world.Between(1, 120));
            return;
        }
        // Asked nicely: most end soon, by the signal or of themselves; the others are killed after the grace.
        var nice = world.Chance(0.8);
        _machine.Later(nice ? world.Between(5, 3000) : (long)SimulatedAgent.Timeouts.CancelGrace.TotalMilliseconds, () =>
            _machine.End(job, new ProcessExit(null, nice ? "SIGTERM" : "SIGKILL", _machine.BootNowMs)));
    }

    private void Over()
    {
        if (_over) return;
        _over = true;
        agent.Remove(this);
    }
}
