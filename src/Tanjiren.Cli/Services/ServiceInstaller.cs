using System.Text;

using Tanjiren.Cli.Output;

namespace Tanjiren.Cli.Services;

/// <summary>Writes a service's file and has its manager take it up; or undoes both. Each command that is run is shown.</summary>
internal sealed class ServiceInstaller(CliContext cli)
{
    public const string Systemd = "systemd", Launchd = "launchd", Windows = "windows";

    /// <summary>The manager of this system; null: none is known.</summary>
    public static string? OfThisSystem => OperatingSystem.IsLinux() ? Systemd : OperatingSystem.IsMacOS() ? Launchd : OperatingSystem.IsWindows() ? Windows : null;

    public ServicePlan Plan(string manager, AgentService service) => manager switch
    {
        Systemd => SystemdUnit.Plan(service, cli.Variable("XDG_CONFIG_HOME") is { Length: > 0 } configuration ? configuration : Path.Combine(UserHome, ".config"), Environment.UserName),
        Launchd => LaunchdAgent.Plan(service, UserHome),
        _ => WindowsTask.Plan(service, cli.Home.Path, Environment.UserName),
    };

    public async Task InstallAsync(ServicePlan plan, CancellationToken cancellation)
    {
        await ProbeAsync(plan, cancellation);
        if (File.Exists(plan.Path) && !(await File.ReadAllTextAsync(plan.Path, cancellation)).Contains(plan.HomeMark, StringComparison.Ordinal))
            throw new CliException($"{plan.Path} is the service of an agent with another home", "remove that one first with `tanvrit-compute agent uninstall`, or run this agent with a supervisor of your own");
        Write(plan);
        cli.Say($"wrote {plan.Path}");
        foreach (var command in plan.Start) await RunAsync(plan, command, cancellation);
    }

    /// <summary>False when there was nothing to remove.</summary>
    public async Task<bool> UninstallAsync(ServicePlan plan, CancellationToken cancellation)
    {
        if (!File.Exists(plan.Path)) return false;
        await ProbeAsync(plan, cancellation);
        foreach (var command in plan.Stop) await RunAsync(plan, command, cancellation);
        File.Delete(plan.Path);
        cli.Say($"removed {plan.Path}");
        foreach (var command in plan.Forget) await RunAsync(plan, command, cancellation);
        return true;
    }

    private string UserHome => cli.Variable("HOME") is { Length: > 0 } home ? home : Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);

    private async Task ProbeAsync(ServicePlan plan, CancellationToken cancellation)
    {
        if (plan.Probe is null) return;
        var end = await cli.RunProgram(plan.Probe, cancellation);
        if (!end.Succeeded)
            throw new CliException($"{plan.Manager} does not answer for this user{(FirstLine(end.Error) is { Length: > 0 } words ? $": {words}" : "")}",
                "log in as the user that the agent shall run as (not with sudo or su), or start `tanvrit-compute agent run` with what supervises programs here; --dry-run shows the unit");
    }

    private async Task RunAsync(ServicePlan plan, IReadOnlyList<string> command, CancellationToken cancellation)
    {
        cli.Say(Text.CommandLine(command));
        var end = await cli.RunProgram(command, cancellation);
        if (!end.Succeeded)
            throw new CliException($"`{Text.CommandLine(command)}` failed{(end.Code is { } code ? $" with {code}" : "")}: {FirstLine(end.Error)}",
                $"see why with {plan.Manager}'s own tools, and run this again; nothing that it did so far is in the way");
    }

    /// <summary>For its owner only: a proxy's address may carry a password.</summary>
    private static void Write(ServicePlan plan)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(plan.Path)!);
        var draft = plan.Path + ".new";
        File.Delete(draft);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using (var writer = new StreamWriter(draft, plan.IsUtf16 ? Encoding.Unicode : new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), options)) writer.Write(plan.Content);
        File.Move(draft, plan.Path, overwrite: true);
    }

    private static string FirstLine(string text) => Text.Safe(text.Trim().Split('\n')[0].Trim());
}
