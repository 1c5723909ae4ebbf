using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations remove</c>.</summary>
internal static class RemoveCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var yes = Options.Flag("--yes", "Do not ask", "-y");
        var command = new CliCommand("remove", "Deregister a workstation and revoke its key")
        {
            Arguments = { name },
            Options = { yes },
            Details = "Its agent is shut out at once; steps that wait for it or run on it fail. To stop it gently, drain it first.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Instances.GetAsync(parse.GetValue(name)!, cancellation);
            if (!parse.GetValue(yes) && !cli.Confirm($"Remove {Text.Safe(one.Name)} ({one.Id})?", $"removing {one.Name}"))
            {
                cli.Say("nothing removed");
                return ExitCode.Cancelled;
            }
            await client.Instances.RemoveAsync(one.Id, cancellation);
            cli.Say($"{Text.Safe(one.Name)} is removed");
            return ExitCode.Ok;
        });
        return command;
    }
}
