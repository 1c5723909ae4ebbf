using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations drain</c>.</summary>
internal static class DrainCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var command = new CliCommand("drain", "Let a workstation finish what it runs and take nothing new") { Arguments = { name } };
        var output = new OutputOptions(command, "Print the workstation as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Instances.DrainAsync(parse.GetValue(name)!, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.InstanceBody, one.Id)) cli.Say($"{Text.Safe(one.Name)} takes nothing new; what runs there finishes");
            return ExitCode.Ok;
        });
        return command;
    }
}
