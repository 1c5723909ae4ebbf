using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Simulation.Tests.Machines;

/// <summary>The session loop and the reconciler: opening a session with what the journal says, and acting on the server's word about each lease.</summary>
internal sealed partial class SimulatedAgent
{
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
                case ReplyKind.Ok:
                    world.Say($"{machine.Name}: {world.Names.Of(id)} is open");
                    world.Ledger.Add("session: opened");
                    if (request.PreviousSessionIds.Count > 0) world.Ledger.Add("session: takenOver");
                    _opening = null;
                    Apply(reply.Value!.Leases);
                    Session = id;
                    break;
                case ReplyKind.IdentityInUse:
                    world.Ledger.Add("session: inUse");
                    After((long)Timeouts.SlowRetry.TotalMilliseconds, () => OpenSession(reports, tries));
                    break;
                case ReplyKind.SessionEnded:
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
        var words = StepResult.Unknown("The agent ended while it ran; its processes are dead and nobody saw the exit code.");
        var result = StepResult.Seal(words, claim.StepId, generation, 0, 0, output: null);
        Write(new JournalEntry { Kind = JournalKind.Result, ClaimId = claim.ClaimId, Result = result }, () => upload.Complete(result));
    }

    private void GiveBack(JournaledClaim claim, long generation)
    {
        var upload = Upload(claim.ClaimId, claim.StepId, generation);
        Write(new JournalEntry { Kind = JournalKind.Releasing, ClaimId = claim.ClaimId, Generation = generation }, () => upload.Release(generation));
    }
}
