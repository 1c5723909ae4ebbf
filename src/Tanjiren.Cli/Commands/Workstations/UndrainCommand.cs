using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations undrain</c>.</summary>
internal static class UndrainCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var command = new CliCommand("undrain", "Let a drained workstation take work again") { Arguments = { name } };
        var output = new OutputOptions(command, "Print the workstation as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Instances.UndrainAsync(parse.GetValue(name)!, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.InstanceBody, one.Id)) cli.Say($"{Text.Safe(one.Name)} takes work again");
            return ExitCode.Ok;
        });
        return command;
    }
}
