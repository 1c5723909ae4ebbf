using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;

using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// A control plane in a process of its own, on one port over all its lives. Its counters are added up over restarts: those that a <c>kill -9</c>
/// takes away are read just before.
/// </summary>
internal sealed partial class RealServer : IAsyncDisposable
{
    private readonly string _database;
    private readonly IReadOnlyDictionary<string, string?> _environment;
    private readonly ServerCounters _counters;
    private RealProcess _process;

    private RealServer(string database, IReadOnlyDictionary<string, string?> environment, Uri url)
    {
        (_database, _environment, Url) = (database, environment, url);
        _counters = new ServerCounters(url);
        Log = new ProcessLog("server");
        _process = Launch();
    }

    /// <summary>The server itself; agents under a fault get a proxy's address instead.</summary>
    public Uri Url { get; }

    public ProcessLog Log { get; }

    public RealProcess Process => _process;

    /// <param name="database">As <c>--database</c> takes it.</param>
    /// <param name="environment">Settings such as <c>Tanjiren__Leases__TtlSeconds</c>, and what <see cref="SteppedClock"/> needs.</param>
    public static async Task<RealServer> StartAsync(string database, IReadOnlyDictionary<string, string?> environment)
    {
        var server = new RealServer(database, environment, new Uri($"http://127.0.0.1:{FreePort()}"));
        try
        {
            await server.ReadyAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>The code of the set-up link that a bare server prints.</summary>
    public async Task<string> SetupCodeAsync() => (await _process.WaitForLineAsync(SetupLink())).Groups["code"].Value;

    /// <summary>For the counters, which only a credential sees.</summary>
    public void SignIn(string token) => _counters.SignIn(token);

    public async Task KillAsync()
    {
        await _counters.KeepAsync();
        await _process.KillAsync();
    }

    public async Task TerminateAsync()
    {
        await _counters.KeepAsync();
        await _process.TerminateAsync();
    }

    /// <summary>After a kill: the same database, the same port.</summary>
    public async Task StartAgainAsync()
    {
        await _process.DisposeAsync();
        _process = Launch();
        await ReadyAsync();
    }

    public Task<IReadOnlyDictionary<string, long>> CountersAsync() => _counters.TotalAsync();

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Resume();
        await _process.DisposeAsync();
        _counters.Dispose();
    }

    private RealProcess Launch() => RealProcess.Start("server", ["server", "--urls", Url.ToString().TrimEnd('/'), "--database", _database], _environment, Log);

    private Task ReadyAsync() => Eventually.TrueAsync(
        async () => _process.HasExited ? throw new InvalidOperationException($"the server ended with {_process.ExitCode}{Environment.NewLine}{Log.Tail()}") : await _counters.IsReadyAsync(),
        () => Log.Tail(), FaultScene.StartLimit, "the server is ready");

    /// <summary>Below the ephemeral range: the port must still be free after a kill, and no client's connection may have taken it meanwhile.</summary>
    private static int FreePort()
    {
        while (true)
        {
            var port = Random.Shared.Next(12_000, 32_000);
            try
            {
                using var probe = new TcpListener(IPAddress.Loopback, port) { ExclusiveAddressUse = true };
                probe.Start();
                return port;
            }
            catch (SocketException)
            {
                // Taken: try another.
            }
        }
    }

    [GeneratedRegex(@"/setup\?code=(?<code>[^\s&""']+)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex SetupLink();
}
