using Tanjiren.Protocol;

namespace Tanjiren.Agent.Idle;

/// <summary>How the one request of a suspended agent hangs. Pure.</summary>
internal static class IdleRules
{
    /// <summary>
    /// Seconds for which the server may hold the heartbeat: what it asks for between two, so that a suspended machine is heard of as often as any other and stays online. Only as long as a poll when
    /// something in between has cut a longer one.
    /// </summary>
    public static int HangSeconds(TimeSpan asked, bool wasCut, AgentTimeouts timeouts)
    {
        var longest = wasCut && timeouts.LongPoll < timeouts.IdleHang ? timeouts.LongPoll : timeouts.IdleHang;
        var hang = asked < longest ? asked : longest;
        return (int)Math.Clamp(hang.TotalSeconds, 1, WireLimits.MaxWaitSeconds);
    }

    /// <summary>Whether a hanging request that was lost after this long looks like a proxy's patience, and not like a server that went away.</summary>
    public static bool IsCut(TimeSpan after, AgentTimeouts timeouts) => after >= timeouts.LongPoll;

    /// <summary>Whether it was answered before its time, although nothing waits: by a server that stops, or that lets nothing hang. Asked again at once, it would be answered the same.</summary>
    public static bool IsEarly(TimeSpan after, int hangSeconds) => after < TimeSpan.FromSeconds(hangSeconds * 0.9);
}
