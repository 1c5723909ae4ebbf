using Tanjiren.Agent.Execution.Linux;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// The only way to start a process in the agent. The mark is the agent's own soft limit for the moment of the spawn, so everything that starts a
/// process takes this lock, also what shall carry no mark: a process started beside it would inherit another step's mark and die with that step.
/// Setting the limit on the child afterwards would leave a moment in which it could already have forked.
/// </summary>
internal static unsafe class MarkedSpawn
{
    private static readonly Lock Gate = new();

    /// <summary>
    /// Whether children can be marked: not when somebody capped the hard limit below every mark. Trees are then found by descent and by
    /// TANJIREN_STEP_ID in the environment alone, which a daemon with a cleared environment escapes.
    /// </summary>
    public static bool IsSupported { get; } = OperatingSystem.IsLinux() && TryRead(out var limit) && limit.Hard == Libc.RLIM_INFINITY;

    /// <summary>The agent's own limit: a mark when the agent itself runs inside a step of another agent.</summary>
    public static ulong OwnLimit
    {
        get
        {
            lock (Gate) return TryRead(out var limit) ? limit.Soft : Libc.RLIM_INFINITY;
        }
    }

    /// <summary>Runs <paramref name="spawn"/> so that its children carry <paramref name="mark"/>; 0 for none.</summary>
    public static T Run<T>(ulong mark, Func<T> spawn)
    {
        lock (Gate)
        {
            if (mark == 0 || !IsSupported || !TryRead(out var before)) return spawn();
            SetSoft(before, mark);
            try
            {
                return spawn();
            }
            finally
            {
                SetSoft(before, before.Soft);
            }
        }
    }

    private static bool TryRead(out Libc.RLimit limit)
    {
        Libc.RLimit read = default;
        var ok = OperatingSystem.IsLinux() && Libc.PrLimit(0, Libc.RLIMIT_RTTIME, null, &read) == 0;
        limit = read;
        return ok;
    }

    private static void SetSoft(Libc.RLimit limit, ulong soft)
    {
        limit.Soft = soft;
        if (Libc.PrLimit(0, Libc.RLIMIT_RTTIME, &limit, null) != 0)
            throw new InvalidOperationException($"The process limit RLIMIT_RTTIME could not be set to {soft}.");
    }
}
