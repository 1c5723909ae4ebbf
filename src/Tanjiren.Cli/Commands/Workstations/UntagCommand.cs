using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations untag</c>: one atomic change, so two people tagging at once lose nothing.</summary>
internal static class UntagCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var tags = new Argument<string[]>("TAG") { Description = "One or more tags", Arity = ArgumentArity.OneOrMore };
        var json = Options.Json("Print the workstation as JSON");
        var command = new CliCommand("untag", "Take tags from a workstation") { Arguments = { name, tags }, Options = { json } };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Instances.UpdateAsync(parse.GetValue(name)!, new UpdateInstanceRequest { RemoveTags = parse.GetValue(tags) }, cancellation);
            if (parse.GetValue(json)) Json.Write(cli, one, w => w.InstanceBody);
            else cli.Out.WriteLine($"{Text.Safe(one.Name)}: {(one.Tags.Count == 0 ? "no tags" : string.Join(", ", one.Tags))}");
            return ExitCode.Ok;
        });
        return command;
    }
}
