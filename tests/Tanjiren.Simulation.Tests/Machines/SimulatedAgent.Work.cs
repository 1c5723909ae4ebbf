using Tanjiren.Agent.Execution;
using Tanjiren.Protocol;

namespace Tanjiren.Simulation.Tests.Machines;

/// <summary>Asking for work and taking it.</summary>
internal sealed partial class SimulatedAgent
{
    /// <summary>The server has something for this workstation: the poll that hangs there returns.</summary>
    public void Hinted()
    {
        if (!_polling) PollIn(0);
    }

    public void Claimed(AgentRun run, bool refused)
    {
        if (!refused)
        {
            _refusals.Remove(run.StepId);
            return;
        }
        var longest = (long)Timeouts.RefusalMax.TotalMilliseconds;
        var pause = Math.Min(longest, _refusals.TryGetValue(run.StepId, out var before) ? before.Pause * 2 : (long)Timeouts.RefusalPause.TotalMilliseconds);
        _refusals[run.StepId] = (world.Now + (long)(pause * (0.5 + world.Random.NextDouble())), pause);
    }

    private void PollIn(long ms)
    {
        var turn = ++_pollTurn;
        After(ms, () =>
        {
            if (turn == _pollTurn) Poll();
        });
    }

    private void Poll()
    {
        if (Session is not { } session)
        {
            PollIn(200);
            return;
        }
        _polling = true;
        var capacity = Math.Max(0, machine.Capacity - _runs.Count);
        HashSet<string> seen = [.. _cancelsSeen];
        Call("asks for work", Timeouts.Request, server => server.WorkAsync(As(session), capacity, seen), reply =>
        {
            _polling = false;
            if (reply.IsOk)
            {
                foreach (var notice in reply.Value!.Cancels) Cancel(notice);
                Offer(session, reply.Value.Assignments);
            }
            else
            {
                Concerns(session, reply.Kind);
            }
            PollIn(world.Between(4000, 12_000));
        });
    }

    private void Cancel(LeaseNotice notice)
    {
        if (_runs.TryGetValue(notice.StepId, out var run))
        {
            // It overtook the answer to the claim: not seen, so the server says it again.
            if (run.Lease is not { } lease) return;
            if (lease.Generation == notice.LeaseGeneration) run.Stop(StopReason.Cancel);
        }
        if (!_cancelsSeen.Contains(notice.StepId)) _cancelsSeen.Add(notice.StepId);
    }

    private void Offer(string session, IReadOnlyList<PendingStep> steps)
    {
        foreach (var step in steps)
        {
            if (_refusals.TryGetValue(step.StepId, out var refusal) && world.Now < refusal.Until) continue;
            if (_runs.Count >= machine.Capacity || _runs.ContainsKey(step.StepId)) continue;
            var run = _runs[step.StepId] = new AgentRun(world, this, step, session);
            run.Begin();
        }
    }
}
