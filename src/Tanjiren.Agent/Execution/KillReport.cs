namespace Tanjiren.Agent.Execution;

/// <summary>What became of a tree.</summary>
/// <param name="Killed">Every process that got SIGKILL and is gone.</param>
/// <param name="Survivors">What still lives; empty when the tree is gone.</param>
internal sealed record KillReport(IReadOnlyList<int> Killed, IReadOnlyList<SurvivingProcess> Survivors)
{
    public bool IsComplete => Survivors.Count == 0;

    /// <summary>One sentence for the log of a step and for operators.</summary>
    public override string ToString() => IsComplete
        ? $"killed {Killed.Count} processes"
        : $"killed {Killed.Count} processes; these live on: {string.Join(", ", Survivors)}";
}

/// <summary>A process that outlived its kill, and why: another user's (a setuid program), or one that the kernel does not let go.</summary>
internal readonly record struct SurvivingProcess(int Pid, string Name, string Reason)
{
    public override string ToString() => $"{Pid} ({Name}): {Reason}";
}

/// <summary>A process, for good: the pid alone may be another one tomorrow.</summary>
[System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Auto)]
internal readonly record struct ProcessName(int Pid, long StartTime);
