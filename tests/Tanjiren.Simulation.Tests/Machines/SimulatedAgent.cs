using Tanjiren.Agent;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Leases;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;

namespace Tanjiren.Simulation.Tests.Machines;

/// <summary>
/// One run of an agent: the loops of Tanjiren.Agent as callbacks of the scheduler, without threads, sockets and processes. What it decides by is the agent's own:
/// lease arithmetic, journal records and their meaning, stop reasons, results, timeouts.
/// </summary>
internal sealed partial class SimulatedAgent(World world, Machine machine, Network network)
{
    public static readonly AgentTimeouts Timeouts = new();

    private readonly Life _life = new();
    private readonly JournalState _journal = machine.Disk.Open();
    private readonly Dictionary<string, AgentRun> _runs = [];
    private readonly Dictionary<string, AgentUpload> _uploads = [];
    private readonly Dictionary<string, (long Until, long Pause)> _refusals = [];
    private readonly List<string> _cancelsSeen = [];
    private string? _opening;
    private long _lastReading;
    private int _beatTurn;
    private bool _beating;
    private long _beatBegan;
    private int _pollTurn;
    private bool _polling;

    public Machine Machine => machine;
    public string? Session { get; private set; }

    public void Start()
    {
        world.Say($"{machine.Name}: the agent starts");
        _lastReading = machine.BootNowMs;
        BeginSession();
        BeatIn(0);
        PollIn(0);
    }

    public void Die() => _life.End();

    public void After(long delayMs, Action act) => machine.After(_life, delayMs, act);

    public Device As(string session) => machine.Device with { SessionId = session };

    public void Call<T>(string what, TimeSpan timeout, Func<ServerRequests, Task<Reply<T>>> request, Action<Reply<T>> answer) where T : class =>
        network.Call(this, $"{machine.Name} {what}", timeout, request, answer);

    /// <summary>Writes a record down; <paramref name="durable"/>: what it guards follows when it is on the disk.</summary>
    public void Write(JournalEntry record, Action? durable = null)
    {
        machine.Disk.Append(record);
        _journal.Apply(record);
        if (durable is null) return;
        var written = machine.Disk.Written;
        After(machine.Disk.SyncMs(), () =>
        {
            machine.Disk.Synced(written);
            durable();
        });
    }

    /// <summary>Whether a refusal is about the session: then its own requests end with it, and the next session decides.</summary>
    public bool Concerns(string session, ReplyKind kind)
    {
        if (kind is not (ReplyKind.SessionEnded or ReplyKind.IdentityInUse)) return false;
        if (Session != session) return true;
        world.Say($"{machine.Name}: {world.Names.Of(session)} has ended");
        Session = null;
        BeginSession();
        return true;
    }

    public long Backoff(int tries) =>
        (long)(Math.Min(Timeouts.BackoffFirst.TotalMilliseconds * Math.Pow(2, Math.Min(tries, 12)), Timeouts.BackoffMax.TotalMilliseconds) * (0.5 + world.Random.NextDouble() / 2));

    public void Ended(Job job, ProcessExit exit)
    {
        if (_runs.TryGetValue(job.StepId, out var run)) run.Exited(job, exit);
    }

    public void Remove(AgentRun run)
    {
        if (_runs.TryGetValue(run.StepId, out var known) && known == run) _runs.Remove(run.StepId);
    }

    public void Remove(AgentUpload upload) => _uploads.Remove(upload.ClaimId);

    public AgentUpload Upload(string claimId, string stepId, long generation)
    {
        if (!_uploads.TryGetValue(claimId, out var upload)) _uploads[claimId] = upload = new AgentUpload(world, this, claimId, stepId, generation);
        return upload;
    }

    /// <summary>A lease was granted: it may have to be renewed before the next beat would be.</summary>
    public void LeaseGranted()
    {
        if (!_beating) BeatIn(_beatBegan + Interval() - world.Now);
    }

    /// <summary>What the lease clock does with each reading.</summary>
    public void ReadLeaseClock()
    {
        var now = machine.BootNowMs;
        var gap = now - _lastReading;
        _lastReading = now;
        if (_runs.Count > 0 && gap > (Timeouts.LeaseTick + Timeouts.ClockJump).TotalMilliseconds) AfterJump();
        Enforce([.. _runs.Values]);
    }

    private void AfterJump()
    {
        List<AgentRun> stopped = [.. _runs.Values];
        world.Ledger.Add("agent: stopped after a jump");
        world.Say($"{machine.Name}: the clock has jumped; {stopped.Count} steps wait for their leases");
        foreach (var run in stopped) run.Suspend();
        if (Session is { } session) Beat(session, Settle);
        else Settle(ReplyKind.Unavailable);

        void Settle(ReplyKind _)
        {
            _lastReading = machine.BootNowMs;
            Enforce(stopped);
            foreach (var run in stopped) run.Resume();
        }
    }

    private void Enforce(List<AgentRun> runs)
    {
        foreach (var run in runs)
        {
            if (run.Lease is not { } lease) continue;
            if (machine.BootNowMs >= lease.DeadlineBootMs) run.Stop(StopReason.LeaseExpired);
            if (machine.BootNowMs >= lease.HardDeadlineBootMs) run.Stop(StopReason.Timeout);
        }
    }

    private void BeatIn(long ms)
    {
        var turn = ++_beatTurn;
        After(ms, () =>
        {
            if (turn == _beatTurn) BeatNow(0);
        });
    }

    private void BeatNow(int failures)
    {
        if (Session is not { } session)
        {
            BeatIn(200);
            return;
        }
        _beatBegan = world.Now;
        Beat(session, kind =>
        {
            if (kind == ReplyKind.Ok || kind is ReplyKind.SessionEnded) BeatIn(kind == ReplyKind.Ok ? _beatBegan + Interval() - world.Now : 100);
            else
            {
                // A failed renewal is tried again soon, while there is time for it.
                var turn = ++_beatTurn;
                After(Math.Min(Backoff(failures), Interval() / 2), () =>
                {
                    if (turn == _beatTurn) BeatNow(failures + 1);
                });
            }
        });
    }

    private void Beat(string session, Action<ReplyKind> done)
    {
        if (_beating)
        {
            // One at a time; the lease clock's own waits for the other.
            After(20, () => Beat(session, done));
            return;
        }
        _beating = true;
        List<AgentRun> runs = [.. _runs.Values];
        var inWork = runs.Select(run => run.ClaimId).ToHashSet();
        List<HeldLease> leases = [.. runs.Select(run => run.Held()).OfType<HeldLease>()];
        var named = leases.Select(lease => lease.StepId).ToHashSet();
        leases.AddRange(_uploads.Values.Select(upload => upload.Held()).OfType<HeldLease>().Where(lease => named.Add(lease.StepId)));
        var request = new HeartbeatRequest { MaxConcurrent = machine.Capacity, ActiveTaskCount = runs.Count, Leases = leases };
        var started = machine.BootNowMs;
        var timeout = ShortestTtl() is { } ttl ? LeaseRules.RenewalTimeout(ttl, Timeouts.Request) : Timeouts.Request;
        Call("beats", timeout, server => server.BeatAsync(As(session), request), reply =>
        {
            _beating = false;
            if (reply.IsOk)
            {
                var asked = leases.Select(lease => (lease.StepId, lease.LeaseGeneration)).ToHashSet();
                foreach (var answer in reply.Value!.Leases) Act(answer, started, inWork, asked.Contains((answer.StepId, answer.LeaseGeneration)));
                Offer(session, reply.Value.PendingTasks);
            }
            else
            {
                Concerns(session, reply.Kind);
            }
            done(reply.Kind);
        });
    }

    private void Act(LeaseAnswer answer, long requestStart, HashSet<string> inWork, bool named)
    {
        var run = _runs.GetValueOrDefault(answer.StepId);
        if (run?.Lease is { } lease && lease.Generation == answer.LeaseGeneration)
        {
            world.Ledger.Add(answer.Standing == LeaseStanding.Held ? "lease: renewed" : "lease: renewalRefused");
            if (LeaseRules.IsRenewal(answer.Standing, named)) run.Renewed(requestStart);
            if (answer.Standing is LeaseStanding.Lost or LeaseStanding.Completed) run.Stop(StopReason.LeaseLost);
            if (answer.CancelRequested) run.Stop(StopReason.Cancel);
            return;
        }
        if (named || run is not null || (answer.ClaimId is { } claim && inWork.Contains(claim))) return;
        if (answer.Standing is LeaseStanding.Held or LeaseStanding.NotRenewed) HandBackUnknown(answer);
    }

    private long Interval() => (long)(ShortestTtl() is { } ttl ? LeaseRules.RenewalInterval(ttl, Timeouts.Renewal) : Timeouts.Heartbeat).TotalMilliseconds;

    private long? ShortestTtl() => _runs.Values.Min(run => run.Lease?.TtlMs);
}
