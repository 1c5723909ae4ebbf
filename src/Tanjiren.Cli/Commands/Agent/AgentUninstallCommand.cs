using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Services;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>agent uninstall</c>: removes the service; the agent's home stays.</summary>
internal static class AgentUninstallCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var dryRun = AgentInstallCommand.DryRun();
        var manager = AgentInstallCommand.Manager();
        var command = new CliCommand("uninstall", "Stop the agent's service and remove it")
        {
            Options = { dryRun, manager },
            Details = "The agent is drained first: what runs is finished, for two minutes at most. Its home, with key and identity, stays; the workstation stays registered.",
            Examples = ["tanvrit-compute agent uninstall"],
        };
        command.SetAction(async (parse, cancellation) =>
        {
            var installer = new ServiceInstaller(cli);
            var plan = installer.Plan(AgentInstallCommand.Chosen(parse.GetValue(manager), parse.GetValue(dryRun)), AgentService.None);
            if (parse.GetValue(dryRun))
            {
                cli.Say($"would run, and delete {plan.Path}:");
                foreach (var line in plan.Stop) cli.Say("  " + Text.CommandLine(line));
            }
            else if (!await installer.UninstallAsync(plan, cancellation)) cli.Say($"no service is installed: there is no {plan.Path}");
            return ExitCode.Ok;
        });
        return command;
    }
}
