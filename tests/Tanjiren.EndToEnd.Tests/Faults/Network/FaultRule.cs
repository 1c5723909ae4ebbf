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
    private readonly int? _onlyStatus;
    private int _left;
    private int _hits;

    public FaultRule(FaultKind kind, string method, string path, int times, TimeSpan delay, int? onlyStatus)
    {
        (Kind, _method, _left, Delay, _onlyStatus) = (kind, method, times, delay, onlyStatus);
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
        int left;
        do
        {
            left = Volatile.Read(ref _left);
            if (left <= 0)
                return false;
        }
        while (Interlocked.CompareExchange(ref _left, left - 1, left) != left);
        // Before it is told: who waits for the first hit asks the exchange for its fault.
        exchange.Fault = this;
        if (_onlyStatus is null)
            Hit(exchange);
        return true;
    }

    /// <summary>Whether the answer of an exchange that it took is thrown away. One with another status than the rule is for goes through, and the next request is taken in its place.</summary>
    public bool Loses(Exchange exchange, int status)
    {
        if (Kind != FaultKind.LoseResponse)
            return false;
        if (_onlyStatus is null)
            return true;
        if (status != _onlyStatus)
        {
            exchange.Fault = null;
            Interlocked.Increment(ref _left);
            return false;
        }
        Hit(exchange);
        return true;
    }

    public override string ToString() => $"{Description}, {Hits} hits";

    private void Hit(Exchange exchange)
    {
        Interlocked.Increment(ref _hits);
        _firstHit.TrySetResult(exchange);
    }
}
