using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// A loopback TCP proxy between one agent and the server that understands enough of HTTP/1.1 to befall chosen requests. It changes no byte of what
/// it passes on, and keeps a ledger of what the server was really told and really answered.
/// </summary>
internal sealed class FaultProxy : IAsyncDisposable
{
    private const int KeptExchanges = 20_000;
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<ProxiedConnection, Task> _connections = new();
    private readonly ConcurrentQueue<FaultRule> _rules = new();
    private readonly ConcurrentQueue<Exchange> _exchanges = new();
    private readonly Task _accepting;

    private FaultProxy(Uri upstream)
    {
        Upstream = upstream;
        _listener.Start();
        _accepting = AcceptAsync();
    }

    /// <summary>The server; change it when that comes back on another port.</summary>
    public Uri Upstream { get; set; }

    /// <summary>What the agent is told as the server's address.</summary>
    public Uri Url => new($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}");

    /// <summary>Everything that came by, oldest first.</summary>
    public IReadOnlyList<Exchange> Exchanges => [.. _exchanges];

    public static FaultProxy Start(Uri upstream) => new(upstream);

    /// <param name="kind">What happens.</param>
    /// <param name="method"><c>*</c> for all.</param>
    /// <param name="path"><c>*</c> stands for one segment, <c>**</c> for anything: <c>/api/steps/*/claim</c>.</param>
    /// <param name="times">How many requests it befalls.</param>
    /// <param name="delay">For <see cref="FaultKind.Delay"/>.</param>
    /// <param name="onlyStatus">For <see cref="FaultKind.LoseResponse"/>: only answers with this status are lost, not the one that only brings a nonce; null: every answer.</param>
    public FaultRule Inject(FaultKind kind, string method = "*", string path = "**", int times = int.MaxValue, TimeSpan delay = default, int? onlyStatus = null)
    {
        var rule = new FaultRule(kind, method, path, times, delay, onlyStatus);
        _rules.Enqueue(rule);
        return rule;
    }

    /// <summary>
    /// The network as a whole: every request from now on is befallen, and what is under way too (a hanging poll stalls or breaks in its middle).
    /// <see cref="FaultRule.Lift"/> ends it.
    /// </summary>
    public FaultRule Partition(FaultKind kind)
    {
        if (kind is not (FaultKind.Drop or FaultKind.Reset or FaultKind.Stall))
            throw new ArgumentException($"a partition drops, resets or stalls; {kind} befalls single requests", nameof(kind));
        var rule = Inject(kind);
        foreach (var connection in _connections.Keys)
        {
            if (kind == FaultKind.Stall)
                connection.StallUntil(rule.Lifted);
            else
                connection.Close(reset: kind == FaultKind.Reset);
        }
        return rule;
    }

    /// <summary>Lifts whatever is still in force, so that a round ends with a whole network.</summary>
    public void Heal()
    {
        while (_rules.TryDequeue(out var rule))
            rule.Lift();
    }

    public async ValueTask DisposeAsync()
    {
        Heal();
        await _stop.CancelAsync();
        _listener.Stop();
        foreach (var connection in _connections.Keys)
            connection.Close(reset: true);
        await _accepting;
        await Task.WhenAll(_connections.Values);
        _stop.Dispose();
    }

    public FaultRule? Befall(Exchange exchange)
    {
        _exchanges.Enqueue(exchange);
        while (_exchanges.Count > KeptExchanges)
            _exchanges.TryDequeue(out _);
        return _rules.FirstOrDefault(rule => rule.TryTake(exchange));
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            Socket client;
            try
            {
                client = await _listener.AcceptSocketAsync(_stop.Token);
            }
            catch (Exception stopped) when (stopped is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }
            client.NoDelay = true;
            var connection = new ProxiedConnection(this, client);
            // The entry is there before the work starts, so that a partition at this moment sees the connection too.
            var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _connections[connection] = ended.Task;
            _ = Task.Run(async () =>
            {
                try
                {
                    await connection.RunAsync(_stop.Token);
                    _connections.TryRemove(connection, out _);
                    ended.SetResult();
                }
                catch (Exception bug)
                {
                    // Stays in the table: disposing the proxy throws it into the test.
                    ended.SetException(bug);
                }
            }, CancellationToken.None);
        }
    }
}
