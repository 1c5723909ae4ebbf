using System.Text.RegularExpressions;

namespace Tanjiren.EndToEnd.Tests.Faults;

internal enum FaultKind
{
    /// <summary>The connection is closed in an orderly way; the request never reaches the server.</summary>
    Drop,
    /// <summary>The same with a reset (RST): what the client sees of a crashed machine or a firewall.</summary>
    Reset,
    /// <summary>Nothing moves until the rule is lifted; then the request goes on, however old it is.</summary>
    Stall,
    /// <summary>The server gets the request and does it; its answer is thrown away and the connection closed.</summary>
    LoseResponse,
    /// <summary>The request is delivered after a wait, even if the client has given up meanwhile: a late packet.</summary>
    Delay,
}

/// <summary>Which requests a fault befalls, and how often. Made by <see cref="FaultProxy.Inject"/>; the oldest rule that matches wins.</summary>
internal sealed class FaultRule
{
    private readonly Regex _path;
    private readonly string _method;
    private readonly TaskCompletionSource _lifted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<Exchange> _firstHit = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _toSpare;
    private int _left;
    private int _hits;

    public FaultRule(FaultKind kind, string method, string path, int times, TimeSpan delay, int spare)
    {
        (Kind, _method, _left, Delay, _toSpare) = (kind, method, times, delay, spare);
        Description = $"{kind} {method} {path}";
        _path = new Regex("^" + Regex.Escape(path).Replace(@"\*\*", ".*", StringComparison.Ordinal).Replace(@"\*", "[^/]+", StringComparison.Ordinal) + "$", RegexOptions.None, TimeSpan.FromSeconds(1));
    }

    public FaultKind Kind { get; }

    public TimeSpan Delay { get; }

    public string Description { get; }

    /// <summary>How many requests it befell: a test that provoked nothing must say so.</summary>
    public int Hits => Volatile.Read(ref _hits);

    /// <summary>Ends with the first request that it befell.</summary>
    public Task<Exchange> FirstHit => _firstHit.Task;

    public Task Lifted => _lifted.Task;

    /// <summary>No further request is befallen, and stalled ones go on.</summary>
    public void Lift()
    {
        Volatile.Write(ref _left, 0);
        _lifted.TrySetResult();
    }

    public bool TryTake(Exchange exchange)
    {
        if ((_method != "*" && _method != exchange.Method) || !_path.IsMatch(exchange.Path))
            return false;
        if (Volatile.Read(ref _toSpare) > 0 && Interlocked.Decrement(ref _toSpare) >= 0)
            return false;
        int left;
        do
        {
            left = Volatile.Read(ref _left);
            if (left <= 0)
                return false;
        }
        while (Interlocked.CompareExchange(ref _left, left - 1, left) != left);
        Interlocked.Increment(ref _hits);
        // Before it is told: who waits for the first hit asks the exchange for its fault.
        exchange.Fault = this;
        _firstHit.TrySetResult(exchange);
        return true;
    }

    public override string ToString() => $"{Description}, {Hits} hits";
}
