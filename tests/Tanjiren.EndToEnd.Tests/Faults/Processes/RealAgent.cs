using System.Diagnostics;
using System.Globalization;

using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// An agent in a process of its own: paired once, started and killed many times, on the same home. It reaches the server by <see cref="Proxy"/>,
/// which belongs to it alone, so that a fault of its network is its own.
/// </summary>
internal sealed class RealAgent : IAsyncDisposable
{
    private readonly Dictionary<string, string?> _environment;
    private readonly int _maxConcurrent;
    private RealProcess? _process;

    private RealAgent(string name, string home, string instanceId, FaultProxy proxy, int maxConcurrent, Dictionary<string, string?> environment)
    {
        (Name, Home, InstanceId, Proxy) = (name, home, instanceId, proxy);
        (_maxConcurrent, _environment) = (maxConcurrent, environment);
        Log = new ProcessLog($"agent {name}");
    }

    public string Name { get; }

    /// <summary>Key, journal and outbox.</summary>
    public string Home { get; }

    public string InstanceId { get; }

    public FaultProxy Proxy { get; }

    public ProcessLog Log { get; }

    public RealProcess Process => _process ?? throw new InvalidOperationException($"agent {Name} was not started");

    /// <summary>Creates the workstation, pairs a fresh home with it through a proxy of its own, which <paramref name="befall"/> sets up, and starts nothing yet.</summary>
    public static async Task<RealAgent> PairAsync(
        RealServer server, Workspace workspace, string name, string directory, int maxConcurrent = 2, IReadOnlyDictionary<string, string?>? environment = null,
        Action<FaultProxy>? befall = null)
    {
        var code = await workspace.RegisterAsync(name, "fault");
        var proxy = FaultProxy.Start(server.Url);
        befall?.Invoke(proxy);
        var home = Path.Combine(directory, "agent-" + name);
        var variables = new Dictionary<string, string?>(environment ?? new Dictionary<string, string?>())
        {
            // No credentials of whoever runs the tests, and a place for whatever else the command line keeps.
            ["TANVRIT_HOME"] = Path.Combine(directory, "tanvrit-" + name),
        };
        var agent = new RealAgent(name, home, code.InstanceId, proxy, maxConcurrent, variables);
        var pairing = RealProcess.Start($"pairing of {name}", ["agent", "pair", "--server", proxy.Url.ToString().TrimEnd('/'), "--code", code.Code, "--home", home], variables, agent.Log);
        await using (pairing)
        {
            await Eventually.TrueAsync(() => pairing.HasExited, () => agent.Log.Tail(), FaultScene.StartLimit, $"agent {name} is paired");
            pairing.ExitCode.ShouldBe(0, agent.Log.Tail());
        }
        return agent;
    }

    public void Start() => _process = RealProcess.Start(
        $"agent {Name}", ["agent", "run", "--home", Home, "--max-concurrent", _maxConcurrent.ToString(CultureInfo.InvariantCulture)], _environment, Log);

    /// <summary>kill -9; what it left behind is the watchdog's and the next start's affair.</summary>
    public Task KillAsync() => Process.KillAsync();

    public async Task StartAgainAsync()
    {
        await Process.DisposeAsync();
        Start();
    }

    /// <summary>Another agent on a copy of this home as it is now: key, journal and outbox, on the same machine and boot.</summary>
    public async Task<RealAgent> CopyHomeAsync(string name)
    {
        var copy = Path.Combine(Path.GetDirectoryName(Home)!, "agent-" + name);
        // cp and not File.Copy, which respects the lock of the running agent. It may complain of files that were renamed meanwhile.
        using var cp = System.Diagnostics.Process.Start(new ProcessStartInfo("cp", ["-a", Home, copy]) { UseShellExecute = false, RedirectStandardError = true })!;
        var complaints = await cp.StandardError.ReadToEndAsync();
        await cp.WaitForExitAsync();
        File.Exists(Path.Combine(copy, "journal")).ShouldBeTrue(complaints);
        var proxy = FaultProxy.Start(Proxy.Upstream);
        // What the copy says must be told from what the original says; of its home this alone is changed.
        var identity = Path.Combine(copy, "identity.json");
        var told = await File.ReadAllTextAsync(identity);
        told.ShouldContain(Proxy.Url.Authority);
        await File.WriteAllTextAsync(identity, told.Replace(Proxy.Url.Authority, proxy.Url.Authority, StringComparison.Ordinal));
        return new RealAgent(name, copy, InstanceId, proxy, _maxConcurrent, _environment);
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is { } process)
        {
            if (!process.HasExited)
                process.Resume();
            await process.DisposeAsync();
        }
        await Proxy.DisposeAsync();
    }
}
