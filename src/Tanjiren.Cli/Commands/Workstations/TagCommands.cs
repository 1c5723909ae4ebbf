using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations tag</c> and <c>untag</c>: one atomic change, so two people tagging at once lose nothing.</summary>
internal static class TagCommands
{
    public static CliCommand Tag(CliContext cli) => Create(cli, "tag", "Add tags to a workstation", tags => new UpdateInstanceRequest { AddTags = tags });

    public static CliCommand Untag(CliContext cli) => Create(cli, "untag", "Take tags from a workstation", tags => new UpdateInstanceRequest { RemoveTags = tags });

    private static CliCommand Create(CliContext cli, string verb, string description, Func<string[], UpdateInstanceRequest> change)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var tags = new Argument<string[]>("TAG") { Description = "One or more tags", Arity = ArgumentArity.OneOrMore };
        var command = new CliCommand(verb, description) { Arguments = { name, tags } };
        var output = new OutputOptions(command, "Print the workstation as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Instances.UpdateAsync(parse.GetValue(name)!, change(parse.GetValue(tags)!), cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.InstanceBody, one.Id))
                cli.Out.WriteLine($"{Text.Safe(one.Name)}: {(one.Tags.Count == 0 ? "no tags" : string.Join(", ", one.Tags))}");
            return ExitCode.Ok;
        });
        return command;
    }
}
