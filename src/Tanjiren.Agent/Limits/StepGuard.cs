using System.ComponentModel;
using Tanjiren.Agent.Limits.Linux;

namespace Tanjiren.Agent.Limits;

/// <summary>The process tree of a capped step: where the search for it begins.</summary>
internal sealed record GuardedTree(ulong Mark, int RootPid, long RootStartTime);

/// <summary>Looks after one capped step while it runs. Where the kernel holds a cap there is nothing to look at but newcomers; where it doesn't, this is what holds it.</summary>
/// <param name="share">What the step was given.</param>
/// <param name="tree">Its processes.</param>
/// <param name="exceeded">Called at each look that finds it over its memory cap, with the words for its record.</param>
internal sealed class StepGuard(StepShare share, GuardedTree tree, Action<string> exceeded)
{
    /// <param name="survey">The machine's processes of this moment; null outside Linux.</param>
    public void Look(TreeSurvey? survey)
    {
        if (survey is null)
        {
            WeighElsewhere();
            return;
        }
        var members = survey.MembersOf(tree.Mark, tree.RootPid, tree.RootStartTime).Select(entry => entry.Pid).ToList();
        if (share.Group is { } group)
        {
            group.Adopt(members);
            return;
        }
        // A job may set its affinity itself; within a look it is back.
        if (share.Processors is { } processors)
            foreach (var pid in members) Affinity.Hold(pid, processors);
        if (share.Caps.MemoryBytes is { } cap) Weigh(ProcessMemory.Of(members, cap));
    }

    /// <summary>Right after the spawn: what must not wait for the first look.</summary>
    public void Begin()
    {
        if (share.Group is { } group) group.AdoptTree(tree.RootPid, () => [.. TreeSurvey.Take().MembersOf(tree.Mark, tree.RootPid, tree.RootStartTime).Select(entry => entry.Pid)]);
        try
        {
            share.Job?.Add(tree.RootPid);
        }
        catch (Win32Exception)
        {
            // It has ended already.
        }
    }

    private void WeighElsewhere()
    {
        try
        {
            Weigh(share.Job?.PeakBytes() ?? (OperatingSystem.IsMacOS() ? MacMemory.OfTree(tree.RootPid) : 0));
        }
        catch (ObjectDisposedException)
        {
            // The step has ended since the look began.
        }
    }

    private void Weigh(long usedBytes)
    {
        if (usedBytes > share.Caps.MemoryBytes) exceeded(share.Caps.OverMemory(usedBytes));
    }
}
