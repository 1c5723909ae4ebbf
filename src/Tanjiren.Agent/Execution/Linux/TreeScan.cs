using System.Text;

namespace Tanjiren.Agent.Execution.Linux;

/// <summary>
/// Finds the live processes of one tree: those with the mark, the root, descendants of any of them, and those whose environment names the step. Each
/// road has a hole that another one closes: the mark may be unsupported, descent ends where a parent has died, an environment can be cleared.
/// A pid counts only with its start time.
/// <para>The watchdog spares its agent: during a spawn the agent itself carries the mark (<see cref="MarkedSpawn"/>), and were it stopped just then, it and
/// through it all of its steps would count as one tree. The searching process spares itself for the same reason.</para>
/// </summary>
internal sealed class TreeScan(ulong mark, int rootPid, long? rootStartTime, string stepId, ProcessName? spared)
{
    private readonly byte[]? _assignment = stepId.Length > 0 ? Encoding.UTF8.GetBytes($"{JobEnvironment.StepIdName}={stepId}") : null;
    private readonly HashSet<(int Pid, long StartTime)> _known = rootPid > 0 && rootStartTime is { } start ? [(rootPid, start)] : [];

    /// <summary>All of them. Not thread-safe: what was found once stays known, so that it is found again when its parent has died.</summary>
    public List<ProcEntry> Find()
    {
        var live = ProcTable.Live();
        if (spared is { } agent) live.RemoveAll(e => e.Pid == agent.Pid && e.StartTime == agent.StartTime);
        var marks = new ulong[live.Count];
        var found = new bool[live.Count];
        var members = new Dictionary<int, ProcEntry>();
        var memberMarks = new HashSet<ulong>();
        if (mark != 0) memberMarks.Add(mark);
        var ownLimit = MarkedSpawn.OwnLimit;

        for (var i = 0; i < live.Count; i++)
        {
            var entry = live[i];
            marks[i] = ProcTable.ReadMark(entry.Pid, foreignToo: true);
            if ((mark != 0 && marks[i] == mark) || _known.Contains((entry.Pid, entry.StartTime))
                || (_assignment is not null && !IsOfAnotherClaim(marks[i]) && ProcTable.HasVariable(entry.Pid, _assignment))) Add(i);
        }

        // Until nothing is added: children of members, and what carries another mark that a member carries. Such a mark is a nested agent's, whose
        // steps must die with it; the mark that this process itself was born with is an outer agent's and no business of ours.
        for (var grown = true; grown;)
        {
            grown = false;
            for (var i = 0; i < live.Count; i++)
            {
                if (found[i]) continue;
                var isChild = members.TryGetValue(live[i].ParentPid, out var parent) && parent.StartTime <= live[i].StartTime;
                if (!isChild && !memberMarks.Contains(marks[i])) continue;
                Add(i);
                grown = true;
            }
        }
        _known.RemoveWhere(k => !members.TryGetValue(k.Pid, out var m) || m.StartTime != k.StartTime);
        foreach (var member in members.Values) _known.Add((member.Pid, member.StartTime));
        return [.. members.Values];

        // The environment names the step alone, and the step may by now be another agent's on this machine, under a later generation: that one is not ours to
        // stop or kill. Without a mark of our own nothing can be told apart.
        bool IsOfAnotherClaim(ulong carried) => mark != 0 && carried != mark && carried != ownLimit && ProcessMarks.IsMark(carried);

        void Add(int i)
        {
            found[i] = true;
            members[live[i].Pid] = live[i];
            if (ProcessMarks.IsMark(marks[i]) && marks[i] != ownLimit) memberMarks.Add(marks[i]);
        }
    }

    /// <summary>
    /// Whether any process of this user carries the mark: one system call a process instead of three files, for the end of every step. Without
    /// marks it is the whole search.
    /// </summary>
    public bool Any()
    {
        if (mark == 0 || !MarkedSpawn.IsSupported) return Find().Count > 0;
        foreach (var pid in ProcTable.Pids())
        {
            if (ProcTable.ReadMark(pid, foreignToo: false) == mark && pid != Environment.ProcessId
                && ProcTable.TryRead(pid, out var entry) && !entry.IsDead
                && (entry.Pid, entry.StartTime) != (spared?.Pid, spared?.StartTime)) return true;
        }
        return false;
    }
}
