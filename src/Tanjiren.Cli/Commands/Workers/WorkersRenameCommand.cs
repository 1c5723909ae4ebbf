using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Workers;

/// <summary><c>workers rename</c>.</summary>
internal static class WorkersRenameCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var workstation = new Argument<string>("WORKSTATION") { Description = "Name or id of its workstation" };
        var name = new Argument<string?>("NAME") { Description = "What its worker is called from now on; absent: its workstation's name and \"agent\" again", Arity = ArgumentArity.ZeroOrOne };
        var command = new CliCommand("rename", "Choose what the worker of a workstation is called") { Arguments = { workstation, name } };
        var output = new OutputOptions(command, "Print the worker as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var changed = await client.Instances.UpdateAsync(parse.GetValue(workstation)!, new UpdateInstanceRequest { WorkerName = parse.GetValue(name) ?? "" }, cancellation);
            var one = await client.Workers.GetAsync(changed.Id, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.WorkerBody, one.Id)) cli.Out.WriteLine($"{Text.Safe(changed.Name)}: {Text.Safe(one.DisplayName)}");
            return ExitCode.Ok;
        });
        return command;
    }
}
