using System.Net.Sockets;
using System.Threading.Channels;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// One client connection and its own connection to the server. Two pumps: requests forward in order, answers back in the same order. Either
/// side's end ends both, as a wire would; only a request that a rule delays or that was read already still reaches the server.
/// </summary>
internal sealed class ProxiedConnection(FaultProxy proxy, Socket client) : IDisposable
{
    private readonly Channel<Exchange> _awaitingAnswer = Channel.CreateUnbounded<Exchange>();
    private readonly Socket _server = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile Task _gate = Task.CompletedTask;
    private TaskCompletionSource<bool>? _upgrade;

    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            await _server.ConnectAsync(proxy.Upstream.Host, proxy.Upstream.Port, stop);
            using var clientStream = new NetworkStream(client, ownsSocket: false);
            using var serverStream = new NetworkStream(_server, ownsSocket: false);
            var answers = EndAsync(AnswersAsync(serverStream, clientStream, stop));
            await EndAsync(RequestsAsync(clientStream, serverStream, stop));
            _awaitingAnswer.Writer.TryComplete();
            await answers;
        }
        catch (Exception gone) when (IsEnd(gone))
        {
            // The server is not there: the client sees a closed connection.
        }
        finally
        {
            Close(reset: false);
        }
    }

    public void StallUntil(Task lifted) => _gate = lifted;

    public void Dispose() => Close(reset: false);

    /// <summary>Ends both sides; may be called from anywhere, again and again.</summary>
    public void Close(bool reset)
    {
        if (reset)
            SetLingerZero(client);
        client.Dispose();
        _server.Dispose();
        _over.TrySetResult();
    }

    private async Task RequestsAsync(NetworkStream from, NetworkStream to, CancellationToken stop)
    {
        var reader = new HttpMessageReader(from);
        while (await reader.ReadHeadAsync(stop) is { } head)
        {
            var exchange = new Exchange(head.StartLine[0], head.StartLine[1]);
            // Whole before it goes on: a delayed request must be deliverable after its client has left.
            using var body = new MemoryStream();
            await reader.CopyBodyAsync(head, untilClose: false, part => { body.Write(part.Span); return ValueTask.CompletedTask; }, stop);
            exchange.RequestBody = body.ToArray()[..(int)Math.Min(body.Length, Exchange.KeptBytes)];
            await _gate;
            var rule = proxy.Befall(exchange);
            if (rule?.Kind is FaultKind.Drop or FaultKind.Reset)
            {
                Close(reset: rule.Kind == FaultKind.Reset);
                return;
            }
            if (rule?.Kind == FaultKind.Stall)
                await rule.Lifted.WaitAsync(stop);
            if (rule?.Kind == FaultKind.Delay)
                await Task.Delay(rule.Delay, TimeProvider.System, stop);

            if (head.Headers.ContainsKey("upgrade"))
                _upgrade = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            exchange.ForwardedAt = Exchange.Now;
            _awaitingAnswer.Writer.TryWrite(exchange);
            await to.WriteAsync(head.Raw, stop);
            await to.WriteAsync(body.ToArray(), stop);
            if (rule?.Kind is FaultKind.Stall or FaultKind.Delay or FaultKind.LoseResponse)
            {
                // The client may have left. Reading its end of stream now would close the server's side, and the server would drop what it works on.
                await Task.WhenAny(exchange.Answered, _over.Task);
            }
            if (_upgrade is not null && await _upgrade.Task)
                await reader.CopyRestAsync(part => GatedAsync(to, part, stop), stop);
        }
    }

    private async Task AnswersAsync(NetworkStream from, NetworkStream to, CancellationToken stop)
    {
        var reader = new HttpMessageReader(from);
        Exchange? exchange = null;
        while (await reader.ReadHeadAsync(stop) is { } head)
        {
            exchange ??= await _awaitingAnswer.Reader.ReadAsync(stop);
            var status = int.Parse(head.StartLine[1], System.Globalization.CultureInfo.InvariantCulture);
            var interim = status is >= 100 and < 200 and not 101;
            var lost = interim ? exchange.Fault?.Kind == FaultKind.LoseResponse : exchange.Fault?.Loses(exchange, status) == true;
            if (!lost)
                await GatedAsync(to, head.Raw, stop);
            if (interim)
                continue;
            exchange.Status = status;
            if (_upgrade is { } upgrade)
            {
                _upgrade = status == 101 ? upgrade : null;
                upgrade.TrySetResult(status == 101);
                if (status == 101)
                    await reader.CopyRestAsync(part => GatedAsync(to, part, stop), stop);
            }
            using var kept = new MemoryStream();
            if (exchange.Method != "HEAD" && status is not (204 or 304))
            {
                await reader.CopyBodyAsync(head, untilClose: true, async part =>
                {
                    if (kept.Length < Exchange.KeptBytes)
                        kept.Write(part.Span);
                    if (!lost)
                        await GatedAsync(to, part, stop);
                }, stop);
            }
            exchange.ResponseBody = kept.ToArray();
            exchange.OnAnswered();
            if (lost)
                return;
            exchange = null;
        }
    }

    private async ValueTask GatedAsync(NetworkStream to, ReadOnlyMemory<byte> part, CancellationToken stop)
    {
        await _gate;
        try
        {
            await to.WriteAsync(part, stop);
        }
        catch (IOException)
        {
            // The client has left; the server's answer is still read to its end, for the ledger.
        }
    }

    /// <summary>One pump's end is the other's, too.</summary>
    private async Task EndAsync(Task pump)
    {
        try
        {
            await pump;
        }
        catch (Exception gone) when (IsEnd(gone))
        {
        }
        Close(reset: false);
    }

    private static bool IsEnd(Exception thrown) =>
        thrown is IOException or SocketException or ObjectDisposedException or OperationCanceledException or ChannelClosedException;

    private static void SetLingerZero(Socket socket)
    {
        try
        {
            // Closing with linger 0 sends RST instead of FIN.
            socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception closed) when (closed is SocketException or ObjectDisposedException)
        {
        }
    }
}
