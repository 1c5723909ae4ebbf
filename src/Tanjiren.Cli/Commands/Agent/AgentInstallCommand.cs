using System.CommandLine;

using Tanjiren.Agent;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Services;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>agent install</c>: the agent as a service of this user.</summary>
internal static class AgentInstallCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var dryRun = DryRun();
        var manager = Manager();
        var command = new CliCommand("install", "Run the agent as a service of this user, from log-in on")
        {
            Options = { dryRun, manager },
            Details = "On Linux it is a unit of the user's own systemd: started again when it ends or hangs, and drained when it is stopped. The machine must be paired already. PATH and proxies of the shell that this is typed in go into the unit; what the agent may do is told by agent.yaml. Run again it writes the unit anew and restarts it.\nFor macOS (launchd) and Windows (a task at log-on) the files are written too, but nobody has proven them yet.",
            Examples = ["tanvrit-compute agent install --dry-run", "tanvrit-compute agent install --workspace local"],
        };
        var place = new AgentHomeOptions(cli, command, "Workspace of the agent (TANVRIT_WORKSPACE; default: the current one)");
        command.SetAction(async (parse, cancellation) =>
        {
            var workspace = place.Workspace(parse) ?? new CredentialFile(cli.Home).Read().Current ?? ServerAccessRules.DefaultWorkspace;
            var home = place.Home(parse, workspace);
            var installer = new ServiceInstaller(cli);
            var plan = installer.Plan(Chosen(parse.GetValue(manager), parse.GetValue(dryRun)), AgentService.Of(workspace, home, cli.Variable));
            if (parse.GetValue(dryRun))
            {
                cli.Out.Write(plan.Content);
                cli.Say($"would write {plan.Path}, and run:");
                foreach (var line in plan.Start) cli.Say("  " + Text.CommandLine(line));
                return ExitCode.Ok;
            }
            if (AgentIdentity.Load(home) is null)
                throw new CliException($"{home} is not paired, and a service has nobody to ask", "pair it first with `tanvrit-compute agent pair`, or run `tanvrit-compute agent run` once while you are signed in");
            if (AgentStatus.IsRunning(home) && !File.Exists(plan.Path))
                throw new CliException($"an agent runs on {home} already, and each home has one", "stop that one first (Ctrl-C, or SIGTERM)");
            await installer.InstallAsync(plan, cancellation);
            foreach (var hint in plan.Hints) cli.Say("hint: " + hint);
            return ExitCode.Ok;
        });
        return command;
    }

    internal static Option<bool> DryRun() => Options.Flag("--dry-run", "Only show what would be written and run");

    internal static Option<string?> Manager() => Options.Choice("--manager", "Service manager (default: this system's; another one with --dry-run only)", ServiceInstaller.Systemd, ServiceInstaller.Launchd, ServiceInstaller.Windows);

    internal static string Chosen(string? asked, bool dryRun)
    {
        var own = ServiceInstaller.OfThisSystem;
        if (asked is not null && asked != own && !dryRun) throw new CliException($"{asked} is not the service manager of this system", "add --dry-run to see its file");
        return asked ?? own ?? throw new CliException("no service manager is known for this system", "start `tanvrit-compute agent run` with what supervises programs here");
    }
}
