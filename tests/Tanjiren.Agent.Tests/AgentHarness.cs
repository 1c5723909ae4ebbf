using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Keys;
using Tanjiren.Agent.Settings;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests;

/// <summary>A paired agent with real processes, beside a fake server. One harness may run several agents after one another on its home.</summary>
internal sealed class AgentHarness : IAsyncDisposable
{
    /// <summary>Pauses short enough for tests; the order of <see cref="AgentTimeouts"/> holds.</summary>
    public static readonly AgentTimeouts Fast = new()
    {
        BackoffFirst = TimeSpan.FromMilliseconds(5),
        BackoffMax = TimeSpan.FromMilliseconds(500),
        RefusalPause = TimeSpan.FromMilliseconds(20),
        RefusalMax = TimeSpan.FromMilliseconds(100),
        SlowRetry = TimeSpan.FromMilliseconds(30),
        SignedOutRetry = TimeSpan.FromMilliseconds(60),
        DiskRetry = TimeSpan.FromMilliseconds(20),
        WatchdogRestart = TimeSpan.FromMilliseconds(20),
        StatusWrite = TimeSpan.FromMilliseconds(50),
        SignInLook = TimeSpan.FromMilliseconds(20),
        DrainFlush = TimeSpan.FromSeconds(90),
    };

    private readonly TemporaryDirectory directory = new();
    private CancellationTokenSource drain = new();
    private CancellationTokenSource abort = new();

    private AgentHarness(FakeControlPlane server) => Server = server;

    public FakeControlPlane Server { get; }
    public string Home => directory.File("agent");
    public Task<int> Running { get; private set; } = Task.FromResult(AgentExit.Drained);
    public AgentTimeouts Timeouts { get; set; } = Fast;
    public int MaxConcurrent { get; set; } = 4;
    public AgentSettings Settings { get; set; } = new();
    public long MaxStepLogBytes { get; set; } = 1 << 20;
    public long OutboxBudgetBytes { get; set; } = 64 << 20;
    /// <summary>Added to the machine's clock: a machine that slept for so long.</summary>
    public long SleptMs;
    public IReadOnlyList<string> WatchdogCommand { get; set; } = ["/bin/sh", "-c", "echo ready; while read line; do echo pong; done"];
    public ILoggerFactory Logs { get; set; } = NullLoggerFactory.Instance;
    public Keychain Keychain { get; set; } = Keychain.Files;
    /// <summary>Why the sign-in is no longer on this machine; null: it is.</summary>
    public volatile string? SignInGone;
    public int SignInLooks;

    public string File(string name) => directory.File(name);

    public static async Task<AgentHarness> PairedAsync(FakeControlPlane server, Keychain? keychain = null)
    {
        var harness = new AgentHarness(server) { Keychain = keychain ?? Keychain.Files };
        var paired = await Pairing.PairAsync(harness.Home, server.Url, "good-code", insecureHttp: false, TimeProvider.System, NullLoggerFactory.Instance, TestContext.Current.CancellationToken,
            keychain: harness.Keychain);
        paired.Error.ShouldBeNull();
        return harness;
    }

    public AgentOptions Options() => new()
    {
        Home = Home,
        MaxConcurrent = MaxConcurrent,
        MaxStepLogBytes = MaxStepLogBytes,
        OutboxBudgetBytes = OutboxBudgetBytes,
        Timeouts = Timeouts,
        WatchdogCommand = WatchdogCommand,
        Settings = Settings,
        Keychain = Keychain,
        SignInGone = () =>
        {
            Interlocked.Increment(ref SignInLooks);
            return SignInGone;
        },
    };

    public async Task StartAsync()
    {
        (drain, abort) = (new CancellationTokenSource(), new CancellationTokenSource());
        var opened = Server.Sessions.Count;
        var machine = AgentPlatform.OfThisMachine(Logs);
        var platform = machine with { BootNowMs = () => BootClock.NowMs + Slept(), Launcher = new SleptLauncher(machine.Launcher, Slept) };
        Running = Task.Run(() => AgentRuntime.RunAsync(Options(), new AgentSignals(drain.Token, abort.Token), platform, TimeProvider.System, Logs));
        await Eventually.TrueAsync(() => Server.Sessions.Count > opened && AgentStatus.Load(Home) is { } status && (status.WatchdogAlive || status.SuspendedSince is not null) || Running.IsCompleted);
    }

    private long Slept() => Interlocked.Read(ref SleptMs);

    /// <summary>The real launcher, whose exits are seen on the moved clock as well: there is one clock on a machine.</summary>
    private sealed class SleptLauncher(IProcessLauncher inner, Func<long> slept) : IProcessLauncher
    {
        public ILaunchedProcess Launch(LaunchRequest request) => new Launched(inner.Launch(request), slept);

        private sealed class Launched(ILaunchedProcess inner, Func<long> slept) : ILaunchedProcess
        {
            public int Pid => inner.Pid;
            public long StartTime => inner.StartTime;
            public ProcessInput? Input => inner.Input;
            public void Dispose() => inner.Dispose();

            public ProcessExit Run(OutputHandler onOutput, Action onTick)
            {
                var exit = inner.Run(onOutput, onTick);
                return exit with { EndedAtBootMs = exit.EndedAtBootMs + slept() };
            }
        }
    }

    public void Drain() => drain.Cancel();

    public void Abort() => abort.Cancel();

    public async Task<int> AbortAsync()
    {
        Abort();
        return await Running.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System);
    }

    public async ValueTask DisposeAsync()
    {
        await AbortAsync();
        drain.Dispose();
        abort.Dispose();
        directory.Dispose();
    }
}
