using System.ComponentModel;
using System.Diagnostics;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// A tree outside Linux: the root process and what .NET finds below it. Not proven on real machines yet, and weaker by nature: a daemon that left its
/// parent is not found (Job Objects on Windows close that with the limits), and once the root has ended nothing is.
/// </summary>
internal static class PortableTree
{
    private static readonly TimeSpan WaitForEnd = TimeSpan.FromSeconds(30);

    public static IReadOnlyList<int> Find(int rootPid, long? rootStartTime)
    {
        using var root = Open(rootPid, rootStartTime);
        return root is null ? [] : [rootPid];
    }

    public static async Task<KillReport> KillAsync(int rootPid, long? rootStartTime, CancellationToken cancellationToken)
    {
        using var root = Open(rootPid, rootStartTime);
        if (root is null) return new KillReport([], []);
        if (!TryKill(root)) return new KillReport([], [new SurvivingProcess(rootPid, root.ProcessName, "it may not be killed by this user")]);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(WaitForEnd);
        try
        {
            await root.WaitForExitAsync(limit.Token);
            return new KillReport([rootPid], []);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new KillReport([], [new SurvivingProcess(rootPid, root.ProcessName, "the system has not let it go")]);
        }
    }

    public static (int Left, int Refused) Strike(int rootPid, long? rootStartTime)
    {
        using var root = Open(rootPid, rootStartTime);
        if (root is null) return (0, 0);
        return (1, TryKill(root) ? 0 : 1);
    }

    /// <summary>The start time of a process in the form that the journal keeps.</summary>
    public static long StartTimeOf(Process process) => process.StartTime.ToUniversalTime().Ticks;

    private static bool TryKill(Process root)
    {
        try
        {
            root.Kill(entireProcessTree: true);
            return true;
        }
        catch (Exception e) when (e is Win32Exception or AggregateException)
        {
            return false;
        }
    }

    private static Process? Open(int pid, long? startTime)
    {
        if (pid <= 0 || startTime is null) return null;
        Process? process = null;
        try
        {
            process = Process.GetProcessById(pid);
            if (!process.HasExited && StartTimeOf(process) == startTime) return process;
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or Win32Exception)
        {
            // It has ended, or is another user's and so not ours.
        }
        process?.Dispose();
        return null;
    }
}
