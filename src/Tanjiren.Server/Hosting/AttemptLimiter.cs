using System.Net;
using System.Net.Sockets;

namespace Tanjiren.Server.Hosting;

/// <summary>
/// Counts tries by key (an address, an account, a code) in fixed windows, in this process. Bounded: when it is full of live windows, new keys are
/// refused until some end; forgetting old ones instead would let a flood of keys reset the counts.
/// </summary>
internal sealed class AttemptLimiter(TimeProvider clock)
{
    private const int MaxKeys = 100_000;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Window> _windows = [];

    /// <summary>Counts one try. Null when it is within the limit, else the seconds until the window ends.</summary>
    public int? Take(string key, int limit, TimeSpan window)
    {
        lock (_gate)
        {
            var now = clock.GetTimestamp();
            if (!_windows.TryGetValue(key, out var current) || RemainingLocked(current, now) <= TimeSpan.Zero)
            {
                if (current is null && _windows.Count >= MaxKeys && !SweepLocked(now)) return Seconds(window);
                _windows[key] = current = new Window(now, window);
            }
            return ++current.Count <= limit ? null : Seconds(RemainingLocked(current, now));
        }
    }

    /// <summary>Forgets a key: its owner has shown who they are.</summary>
    public void Clear(string key)
    {
        lock (_gate) _windows.Remove(key);
    }

    /// <summary>The client's address as a key; an IPv6 network counts as one, for its owner may use any address in it.</summary>
    public static string KeyOf(IPAddress? address)
    {
        if (address is null) return "local";
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        return address.AddressFamily == AddressFamily.InterNetworkV6
            ? Convert.ToHexString(address.GetAddressBytes().AsSpan(0, 8)) + "::/64"
            : address.ToString();
    }

    private TimeSpan RemainingLocked(Window window, long now) => window.Length - clock.GetElapsedTime(window.Start, now);

    private bool SweepLocked(long now)
    {
        foreach (var (key, window) in _windows)
            if (RemainingLocked(window, now) <= TimeSpan.Zero) _windows.Remove(key);
        return _windows.Count < MaxKeys;
    }

    private static int Seconds(TimeSpan span) => Math.Max(1, (int)Math.Ceiling(span.TotalSeconds));

    private sealed class Window(long start, TimeSpan length)
    {
        public long Start => start;
        public TimeSpan Length => length;
        public int Count { get; set; }
    }
}
