using Tanjiren.Agent.Execution.Linux;

namespace Tanjiren.Agent.Limits.Linux;

/// <summary>
/// The machine's processes at one moment, for the accounts of all capped steps at once. A step's are those with its mark, its root, and their descendants; unlike the search before a kill
/// (<see cref="TreeScan"/>) it reads no environments, which would cost more than the jobs that are watched.
/// </summary>
internal sealed class TreeSurvey
{
    private readonly List<ProcEntry> live;
    private readonly ulong[] marks;

    private TreeSurvey(List<ProcEntry> live)
    {
        this.live = live;
        marks = [.. live.Select(entry => ProcTable.ReadMark(entry.Pid, foreignToo: false))];
    }

    public static TreeSurvey Take() => new(ProcTable.Live());

    /// <param name="mark">0 when the processes carry none.</param>
    /// <param name="rootPid">With its start time: the pid alone may be another process by now.</param>
    /// <param name="rootStartTime">In clock ticks since boot.</param>
    public IReadOnlyList<ProcEntry> MembersOf(ulong mark, int rootPid, long rootStartTime)
    {
        var members = new Dictionary<int, ProcEntry>();
        for (var i = 0; i < live.Count; i++)
            if ((mark != 0 && marks[i] == mark) || (live[i].Pid == rootPid && live[i].StartTime == rootStartTime)) members[live[i].Pid] = live[i];
        for (var grown = true; grown;)
        {
            grown = false;
            foreach (var entry in live)
            {
                if (members.ContainsKey(entry.Pid) || !members.TryGetValue(entry.ParentPid, out var parent) || parent.StartTime > entry.StartTime) continue;
                members[entry.Pid] = entry;
                grown = true;
            }
        }
        return [.. members.Values];
    }
}
