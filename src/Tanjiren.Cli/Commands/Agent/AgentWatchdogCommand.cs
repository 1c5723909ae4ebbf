using Tanjiren.Agent.Execution;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>agent watchdog</c>: started by the agent, never by a person.</summary>
internal static class AgentWatchdogCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("watchdog", "Kills what an agent started when the agent dies (started by the agent itself)") { Hidden = true };
        command.SetAction(_ => Watchdog.Main(Console.OpenStandardInput(), cli.Err));
        return command;
    }
}
