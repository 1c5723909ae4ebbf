using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Execution.Linux;

internal enum SignalResult
{
    Sent,
    /// <summary>It has ended; its pid may be another process by now.</summary>
    Gone,
    /// <summary>Another user's process.</summary>
    Refused,
}

internal static class ProcSignal
{
    /// <summary>
    /// Signals the process that was seen, never a later one with its pid: the pidfd is opened first and the start time compared after, so the pid
    /// cannot be used again in between. Before Linux 5.3 a gap of microseconds remains.
    /// </summary>
    public static SignalResult Send(int pid, long startTime, int signal)
    {
        var pidFd = Libc.PidFdOpen(pid);
        var openError = pidFd < 0 ? Marshal.GetLastPInvokeError() : 0;
        if (openError == Libc.ESRCH) return SignalResult.Gone;
        try
        {
            if (!ProcTable.IsAlive(pid, startTime)) return SignalResult.Gone;
            var sent = pidFd >= 0 ? Libc.PidFdSendSignal(pidFd, signal) : Libc.Kill(pid, signal);
            if (sent == 0) return SignalResult.Sent;
            return Marshal.GetLastPInvokeError() == Libc.EPERM ? SignalResult.Refused : SignalResult.Gone;
        }
        finally
        {
            if (pidFd >= 0) _ = Libc.Close(pidFd);
        }
    }

    /// <summary>
    /// Signals the group that this process leads, if it lives. There is no pidfd for a group (Linux has one since 6.9): between the look and the signal a gap of
    /// microseconds remains, in which all pids would have to be used up.
    /// </summary>
    public static void SendToGroup(int leader, long startTime, int signal)
    {
        if (ProcTable.IsAlive(leader, startTime)) _ = Libc.Kill(-leader, signal);
    }
}
