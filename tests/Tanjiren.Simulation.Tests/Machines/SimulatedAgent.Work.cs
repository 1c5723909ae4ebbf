using Tanjiren.Agent.Outbox;
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
            if (lease.Generation == notice.LeaseGeneration) run.Stop(Tanjiren.Agent.Execution.StopReason.Cancel);
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

    // The session loop and the reconciler.

    private void BeginSession()
    {
        foreach (var run in _runs.Values.ToList()) run.LetGo();
        foreach (var job in machine.Jobs) machine.Kill(job, 0);
        if (_runs.Count > 0 || machine.Jobs.Count > 0) After(50, BeginSession);
        else OpenSession(Reports(), 0);
    }

    private List<StepReport> Reports()
    {
        var reports = new List<StepReport>();
        foreach (var claim in _journal.Claims.ToList())
        {
            var upload = Upload(claim.ClaimId, claim.StepId, claim.Generation ?? 0);
            if (claim.Report is not { } state)
            {
                upload.SayNothing();
                continue;
            }
            if (claim.Result is { } result) upload.Complete(result);
            world.Ledger.Add($"agent: reported {char.ToLowerInvariant(state.ToString()[0])}{state.ToString()[1..]}");
            reports.Add(new StepReport { StepId = claim.StepId, LeaseGeneration = claim.Generation, ClaimId = claim.ClaimId, State = state });
        }
        return reports;
    }

    private void OpenSession(List<StepReport> reports, int tries)
    {
        if (_opening is null)
        {
            _opening = Ids.New(Ids.Session, DateTimeOffset.FromUnixTimeMilliseconds(world.Instant(0)));
            // Durable before its first use: a lost answer is repeated with it, and the next life names it as its predecessor.
            Write(new JournalEntry { Kind = JournalKind.Session, SessionId = _opening }, () => OpenSession(reports, tries));
            return;
        }
        var id = _opening;
        var request = new OpenSessionRequest
        {
            SessionId = id, MachineId = machine.Name, BootId = $"boot {machine.BootNumber}", HostName = machine.Name, Steps = reports,
            PreviousSessionIds = [.. _journal.Sessions.Where(known => known != id).Take(5)],
        };
        Call("opens a session", Timeouts.Request, server => server.OpenAsync(As(""), request), reply =>
        {
            switch (reply.Kind)
            {
                case Tanjiren.Agent.Connection.ReplyKind.Ok:
                    world.Say($"{machine.Name}: {world.Names.Of(id)} is open");
                    world.Ledger.Add("session: opened");
                    if (request.PreviousSessionIds.Count > 0) world.Ledger.Add("session: takenOver");
                    _opening = null;
                    Apply(reply.Value!.Leases);
                    Session = id;
                    break;
                case Tanjiren.Agent.Connection.ReplyKind.IdentityInUse:
                    world.Ledger.Add("session: inUse");
                    After((long)Timeouts.SlowRetry.TotalMilliseconds, () => OpenSession(reports, tries));
                    break;
                case Tanjiren.Agent.Connection.ReplyKind.SessionEnded:
                    _opening = null;
                    After(Backoff(tries), () => OpenSession(reports, tries + 1));
                    break;
                default:
                    After(Backoff(tries), () => OpenSession(reports, tries + 1));
                    break;
            }
        });
    }

    private void Apply(IReadOnlyList<LeaseAnswer> answers)
    {
        List<JournaledClaim> open = [.. _journal.Claims];
        var handled = new HashSet<LeaseAnswer>();
        foreach (var claim in open)
        {
            var answer = answers.FirstOrDefault(a => a.StepId == claim.StepId && (claim.Generation is { } g ? a.LeaseGeneration == g : a.ClaimId == claim.ClaimId));
            if (answer is not null) handled.Add(answer);
            if (claim.Report is null or StepReportState.Exited && claim.Result is not null) continue;
            Settle(claim, answer);
        }
        foreach (var answer in answers.Where(a => !handled.Contains(a) && a.Standing is LeaseStanding.Held or LeaseStanding.NotRenewed))
            if (open.All(c => c.StepId != answer.StepId || c.Generation != answer.LeaseGeneration)) HandBackUnknown(answer);
    }

    private void HandBackUnknown(LeaseAnswer answer)
    {
        var claimId = answer.ClaimId!;
        if (_uploads.TryGetValue(claimId, out var running) && running.HasWord) return;
        world.Ledger.Add("agent: handed back");
        world.Say($"{machine.Name}: hands back {world.Names.Of(answer.StepId)} generation {answer.LeaseGeneration}");
        if (running is not null && _journal.Find(claimId) is { } known)
        {
            Settle(known, answer);
            return;
        }
        var mayHaveSpawned = _journal.MayHaveSpawned(claimId);
        Write(new JournalEntry { Kind = JournalKind.Claiming, ClaimId = claimId, StepId = answer.StepId, Mark = mayHaveSpawned ? 0 : null });
        Write(new JournalEntry { Kind = JournalKind.Leased, ClaimId = claimId, Generation = answer.LeaseGeneration });
        var claim = new JournaledClaim { ClaimId = claimId, StepId = answer.StepId, Generation = answer.LeaseGeneration };
        if (mayHaveSpawned) SayUnknown(claim, answer.LeaseGeneration);
        else GiveBack(claim, answer.LeaseGeneration);
    }

    private void Settle(JournaledClaim claim, LeaseAnswer? answer)
    {
        if (answer is null or { Standing: LeaseStanding.Lost or LeaseStanding.Completed }) Upload(claim.ClaimId, claim.StepId, claim.Generation ?? 0).SayNothing();
        else if (claim.Report == StepReportState.NeverStarted) GiveBack(claim, answer.LeaseGeneration);
        else SayUnknown(claim, answer.LeaseGeneration);
    }

    private void SayUnknown(JournaledClaim claim, long generation)
    {
        var upload = Upload(claim.ClaimId, claim.StepId, generation);
        var words = Tanjiren.Agent.Execution.StepResult.Unknown("The agent ended while it ran; its processes are dead and nobody saw the exit code.");
        var result = Tanjiren.Agent.Execution.StepResult.Seal(words, claim.StepId, generation, 0, 0, output: null);
        Write(new JournalEntry { Kind = JournalKind.Result, ClaimId = claim.ClaimId, Result = result }, () => upload.Complete(result));
    }

    private void GiveBack(JournaledClaim claim, long generation)
    {
        var upload = Upload(claim.ClaimId, claim.StepId, generation);
        Write(new JournalEntry { Kind = JournalKind.Releasing, ClaimId = claim.ClaimId, Generation = generation }, () => upload.Release(generation));
    }
}
