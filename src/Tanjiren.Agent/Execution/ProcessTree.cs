using Tanjiren.Agent.Execution.Linux;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// Everything that a step has started, wherever it went. It can be made anew at any time from what the journal holds: the mark alone is enough.
/// Thread-safe. Outside Linux it is the root process and its descendants, found by System.Diagnostics.Process.
/// </summary>
/// <param name="mark">0 when the processes carry none.</param>
/// <param name="rootPid">0 when unknown.</param>
/// <param name="stepId">Found in TANJIREN_STEP_ID.</param>
/// <param name="rootStartTime">Without it <paramref name="rootPid"/> proves nothing and is not used: the pid may be another process by now.</param>
/// <param name="options">How long a kill tries.</param>
/// <param name="clock">Of the pauses between tries.</param>
/// <param name="spared">A process that never belongs to the tree: see <see cref="TreeScan"/>.</param>
internal sealed class ProcessTree(ulong mark, int rootPid, string stepId, long? rootStartTime = null,
    ExecutionOptions? options = null, TimeProvider? clock = null, ProcessName? spared = null)
{
    /// <summary>A tree that forks faster than it can be stopped is killed in the middle of it; the next round finds the rest.</summary>
    private const int MaxStopPasses = 50;

    private readonly ExecutionOptions _options = options ?? ExecutionOptions.Default;
    private readonly TimeProvider _clock = clock ?? TimeProvider.System;
    private readonly Lock _gate = new();
    private readonly TreeScan _scan = new(mark, rootPid, rootStartTime, stepId, spared);
    private readonly HashSet<(int Pid, long StartTime)> _suspended = [];

    /// <summary>Kills under way in this process, by mark: several objects may stand for one tree.</summary>
    private static readonly Dictionary<ulong, int> Kills = [];

    /// <summary>
    /// Whether a <see cref="KillAsync"/> of this mark is under way somewhere in this process. It may still leave the tree its grace, which the runner of
    /// the root process must not cut short when the root is the first to end.
    /// </summary>
    public bool IsBeingKilled
    {
        get
        {
            lock (Kills) return Kills.ContainsKey(mark);
        }
    }

    /// <summary>Pids of all live processes of the tree.</summary>
    public IReadOnlyList<int> Find()
    {
        if (!OperatingSystem.IsLinux()) return PortableTree.Find(rootPid, rootStartTime);
        lock (_gate) return [.. _scan.Find().Select(e => e.Pid)];
    }

    public bool IsGone() => Find().Count == 0;

    /// <summary>Whether anything is left, cheaply: for the end of each step. See <see cref="TreeScan.Any"/>.</summary>
    public bool HasLeftovers()
    {
        if (!OperatingSystem.IsLinux()) return !IsGone();
        lock (_gate) return _scan.Any();
    }

    /// <summary>Stops every process until <see cref="Resume"/>. Those that somebody else had stopped are left as they are, then and later.</summary>
    public void Suspend()
    {
        if (!OperatingSystem.IsLinux()) return;
        lock (_gate) StopAllLocked((entry, _) => { if (!entry.IsStopped) _suspended.Add((entry.Pid, entry.StartTime)); });
    }

    /// <summary>Continues what <see cref="Suspend"/> stopped.</summary>
    public void Resume()
    {
        if (!OperatingSystem.IsLinux()) return;
        lock (_gate)
        {
            foreach (var (pid, startTime) in _suspended) _ = ProcSignal.Send(pid, startTime, Libc.SIGCONT);
            _suspended.Clear();
        }
    }

    /// <summary>
    /// Kills the tree and returns when no process of it is left, or only such as cannot be killed: they are in the report. With a
    /// <paramref name="termGrace"/> above zero all get SIGTERM first and that long to end by themselves. May be called again, and by several
    /// callers at once.
    /// </summary>
    public async Task<KillReport> KillAsync(TimeSpan termGrace, CancellationToken cancellationToken)
    {
        if (!OperatingSystem.IsLinux()) return await PortableTree.KillAsync(rootPid, rootStartTime, cancellationToken);
        // Before the first signal: the root may end upon it at once.
        lock (Kills) Kills[mark] = Kills.GetValueOrDefault(mark) + 1;
        try
        {
            return await KillOnLinuxAsync(termGrace, cancellationToken);
        }
        finally
        {
            lock (Kills)
            {
                if (--Kills[mark] == 0) Kills.Remove(mark);
            }
        }
    }

    /// <summary>
    /// Stops the root and its process group, which needs no search: what an ordinary step has started stands still at once, however long the machine takes for
    /// the search that finds the rest of it. Only before a kill: nothing here continues them.
    /// </summary>
    public void StopGroup()
    {
        if (OperatingSystem.IsLinux() && rootPid > 0 && rootStartTime is { } start) ProcSignal.SendToGroup(rootPid, start, Libc.SIGSTOP);
    }

    /// <summary>One round of a kill without waiting; for the watchdog, which has many trees and no time to wait for one. Returns how many were killed now, how many are left, and how many of those refuse.</summary>
    public (int Killed, int Left, int Refused) Strike()
    {
        if (!OperatingSystem.IsLinux())
        {
            var (portableLeft, portableRefused) = PortableTree.Strike(rootPid, rootStartTime);
            return (portableLeft, portableLeft, portableRefused);
        }
        var killed = new SortedSet<int>();
        var left = Strike(killed);
        return (killed.Count, left.Count, left.Count(s => s.Refused));
    }

    private async Task<KillReport> KillOnLinuxAsync(TimeSpan termGrace, CancellationToken cancellationToken)
    {
        var started = _clock.GetTimestamp();
        if (termGrace > TimeSpan.Zero)
        {
            lock (_gate) AskLocked();
            for (var pause = _options.KillMinPause; !IsGone() && _clock.GetElapsedTime(started) < termGrace; pause = Longer(pause))
                await Task.Delay(pause, _clock, cancellationToken);
            started = _clock.GetTimestamp();
        }

        var killed = new SortedSet<int>();
        for (var pause = _options.KillMinPause; ; pause = Longer(pause))
        {
            var left = Strike(killed);
            if (left.Count == 0 || left.TrueForAll(s => s.Refused) || _clock.GetElapsedTime(started) > _options.KillGiveUpAfter)
            {
                killed.ExceptWith(left.Select(s => s.Entry.Pid));
                return new KillReport([.. killed], [.. left.Select(Survivor)]);
            }
            await Task.Delay(pause, _clock, cancellationToken);
        }
    }

    /// <summary>
    /// Stop all, then kill all, then look again. A process killed while its siblings run may be replaced by them (supervisors, fork bombs); a
    /// stopped one forks nothing, so when a search finds nobody new the tree is complete.
    /// </summary>
    private List<(ProcEntry Entry, bool Refused)> Strike(SortedSet<int>? killed)
    {
        lock (_gate)
        {
            var refused = new HashSet<int>();
            var stopped = StopAllLocked((entry, result) => { if (result == SignalResult.Refused) refused.Add(entry.Pid); });
            if (stopped.Count == 0) return [];
            // Youngest first: when a parent dies, the kernel continues the stopped process groups that it orphans (SIGHUP, then SIGCONT), and those must
            // have their SIGKILL by then.
            foreach (var entry in stopped.OrderByDescending(e => e.StartTime).ThenByDescending(e => e.Pid))
            {
                var result = ProcSignal.Send(entry.Pid, entry.StartTime, Libc.SIGKILL);
                if (result == SignalResult.Refused) refused.Add(entry.Pid);
                else if (result == SignalResult.Sent) killed?.Add(entry.Pid);
            }
            return [.. _scan.Find().Select(e => (e, refused.Contains(e.Pid)))];
        }
    }

    private List<ProcEntry> StopAllLocked(Action<ProcEntry, SignalResult> onStopped)
    {
        var seen = new HashSet<(int, long)>();
        var found = _scan.Find();
        for (var pass = 0; pass < MaxStopPasses; pass++)
        {
            var fresh = false;
            foreach (var entry in found)
            {
                if (!seen.Add((entry.Pid, entry.StartTime))) continue;
                fresh = true;
                onStopped(entry, ProcSignal.Send(entry.Pid, entry.StartTime, Libc.SIGSTOP));
            }
            if (!fresh) break;
            found = _scan.Find();
        }
        return found;
    }

    private void AskLocked()
    {
        foreach (var entry in _scan.Find())
        {
            _ = ProcSignal.Send(entry.Pid, entry.StartTime, Libc.SIGTERM);
            // A stopped process would sit out the grace without ever seeing the signal.
            _ = ProcSignal.Send(entry.Pid, entry.StartTime, Libc.SIGCONT);
        }
    }

    private TimeSpan Longer(TimeSpan pause) => pause * 2 < _options.KillMaxPause ? pause * 2 : _options.KillMaxPause;

    private static SurvivingProcess Survivor((ProcEntry Entry, bool Refused) left) => new(left.Entry.Pid, ProcTable.ReadName(left.Entry.Pid),
        left.Refused ? "it belongs to another user" : "the kernel has not let it go");
}
