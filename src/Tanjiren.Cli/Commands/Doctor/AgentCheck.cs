using Tanjiren.Cli.Output;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Whether this machine is paired, and its agent runs and has nothing to complain of.</summary>
internal static class AgentCheck
{
    private const string Name = "agent";

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, (scene, _) => Task.FromResult(Look(scene)));

    private static Finding Look(DoctorScene scene)
    {
        if (scene.IdentityTrouble is { } trouble)
            return Finding.Problem(Name, $"{Path.Combine(scene.Home, "identity.json")} can't be read: {Text.Safe(trouble)}", "bring it back from a backup, or ask an admin for a recovery code ('workstations recover') and run `tanvrit-compute agent recover`");
        if (scene.Identity is not { } identity)
            return Finding.Warning(Name, $"{scene.Home} is not paired: this machine takes no jobs", "run `tanvrit-compute agent run` while you are signed in, or pair it with `tanvrit-compute agent pair`");
        var name = Text.Safe(identity.InstanceName);
        if (scene.Status is not { } status)
            return Finding.Warning(Name, $"paired as {name}, and no agent runs: this machine takes no jobs", "start it with `tanvrit-compute agent run`, or have it started with `tanvrit-compute agent install`");
        if (status.Notice is { } notice) return Finding.Warning(Name, $"{name} runs as process {status.ProcessId} and says: {Text.Safe(notice)}", "do what it says; the agent goes on by itself then");
        if (!status.Connected) return Finding.Warning(Name, $"{name} runs as process {status.ProcessId} and has no answer from its server", "see what this says of the server; the agent tries on");
        if (!status.WatchdogAlive && status.SuspendedSince is null)
            return Finding.Problem(Name, $"{name} runs as process {status.ProcessId} without its watchdog, so it takes no jobs", "see its log for why the watchdog does not start");
        return Finding.Ok(Name, status.SuspendedSince is { } since
            ? $"{name} runs as process {status.ProcessId}, suspended since {Text.Instant(since, scene.Cli.Clock)} for want of work"
            : $"{name} runs as process {status.ProcessId}, with {status.Steps.Count} of {status.MaxConcurrent} steps");
    }
}
