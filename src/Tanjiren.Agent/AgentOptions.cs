using Tanjiren.Agent.Keys;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Agent;

/// <summary>How one agent runs. Who it is stands in its home (<c>identity.json</c>), made by <see cref="Pairing"/>.</summary>
public sealed record AgentOptions
{
    /// <summary>2 GiB.</summary>
    public const long DefaultOutboxBudgetBytes = 2L << 30;

    /// <summary>Directory of this agent, for example <c>~/.tanvrit/agents/local</c>: identity, key, journal, outbox, lock and status.</summary>
    public required string Home { get; init; }

    /// <summary>Name of the workspace in the user's configuration; for messages only.</summary>
    public string Workspace { get; init; } = "local";

    /// <summary>Steps that run at once, 1-1000. Default: the machine's processors.</summary>
    public int MaxConcurrent { get; init; } = Environment.ProcessorCount;

    /// <summary>Program and arguments that start the watchdog, for example <c>dotnet tanvrit-compute.dll agent watchdog</c>.</summary>
    public required IReadOnlyList<string> WatchdogCommand { get; init; }

    /// <summary>Output on disk that the server has not taken yet, over all steps, in bytes; at least 1 MiB, default 2 GiB. When it is full, jobs wait in their writes.</summary>
    public long OutboxBudgetBytes { get; init; } = DefaultOutboxBudgetBytes;

    /// <summary>Output kept of one step, in bytes; 1 KiB up to and by default <see cref="WireLimits.MaxStepLogBytes"/>. What comes after is counted, marked and dropped.</summary>
    public long MaxStepLogBytes { get; init; } = WireLimits.MaxStepLogBytes;

    /// <summary>Labels announced beside os, arch, cpuCount, memoryMb and hostname; they win over those.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>Allows plain http to an address that is not loopback. Whoever is on the path then reads every log.</summary>
    public bool InsecureHttp { get; init; }

    /// <summary>What the machine's owner wrote into <c>agent.yaml</c>.</summary>
    public AgentSettings Settings { get; init; } = new();

    /// <summary>Where the private key lies, and new ones go. Default: files in <see cref="Home"/>.</summary>
    public Keychain Keychain { get; init; } = Keychain.Files;

    /// <summary>
    /// Answers why the sign-in that the machine was registered with is no longer on it, or null while it is, or where there never was one. Asked every few seconds, so it must be cheap.
    /// While it answers, nothing new is taken. Default: always null.
    /// </summary>
    public Func<string?> SignInGone { get; init; } = static () => null;

    /// <summary>
    /// Told when the agent runs, each time that its loops show life (at least every 6 minutes, with a server or without), and when it begins to stop: for whoever supervises it. Called on any thread; it must not block or throw.
    /// </summary>
    public Action<AgentLife>? Life { get; init; }

    /// <summary>Version announced to the server.</summary>
    public string AgentVersion { get; init; } = typeof(AgentOptions).Assembly.GetName().Version?.ToString(3) ?? "0.0.0";

    public AgentTimeouts Timeouts { get; init; } = new();

    /// <summary>What is wrong, one sentence a setting; empty when nothing is.</summary>
    public IReadOnlyList<string> Validate()
    {
        var errors = new List<string>();
        if (!Path.IsPathFullyQualified(Home)) errors.Add($"Home is '{Home}'; give an absolute path.");
        if (MaxConcurrent is < 1 or > 1000) errors.Add($"MaxConcurrent is {MaxConcurrent}; give 1 to 1000.");
        if (WatchdogCommand.Count == 0) errors.Add("WatchdogCommand is empty; give the program that starts the watchdog.");
        if (OutboxBudgetBytes < 1 << 20) errors.Add($"OutboxBudgetBytes is {OutboxBudgetBytes}; give at least 1048576.");
        if (MaxStepLogBytes is < 1024 or > WireLimits.MaxStepLogBytes)
            errors.Add($"MaxStepLogBytes is {MaxStepLogBytes}; give 1024 to {WireLimits.MaxStepLogBytes}.");
        if (Labels.Count > WireLimits.MaxLabels) errors.Add($"Labels has {Labels.Count} entries; at most {WireLimits.MaxLabels}.");
        errors.AddRange(Timeouts.Validate());
        return errors;
    }
}

/// <summary>How the agent is asked to stop. Drain: take nothing new, hand back what never started, finish what runs. Abort: kill what runs, keep its results.</summary>
/// <param name="Drain">Cancelled by the first SIGTERM or Ctrl-C.</param>
/// <param name="Abort">Cancelled by the second one.</param>
public sealed record AgentSignals(CancellationToken Drain, CancellationToken Abort);

/// <summary>What <see cref="AgentOptions.Life"/> is told.</summary>
public enum AgentLife
{
    /// <summary>The loops run. That there is a server is not waited for.</summary>
    Ready,
    Alive,
    Stopping,
}

/// <summary>Exit codes of <see cref="AgentRuntime"/>.</summary>
public static class AgentExit
{
    /// <summary>Drained: nothing runs any more.</summary>
    public const int Drained = 0;
    /// <summary>A loop ended unexpectedly, or the configuration is wrong. The message says which.</summary>
    public const int Failed = 1;
    /// <summary>The home has no identity, is in use by another agent, or the server no longer knows its key: a person must act.</summary>
    public const int NeedsAttention = 2;
    /// <summary>Aborted: what ran was killed.</summary>
    public const int Aborted = 130;
}
