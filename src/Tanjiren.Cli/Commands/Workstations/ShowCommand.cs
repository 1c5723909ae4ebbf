using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations show</c>.</summary>
internal static class ShowCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var command = new CliCommand("show", "Show one workstation") { Arguments = { name } };
        var output = new OutputOptions(command, "Print the workstation as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Instances.GetAsync(parse.GetValue(name)!, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.InstanceBody, one.Id))
                new FieldList()
                    .Add("name", one.Name)
                    .Add("id", one.Id)
                    .Add("status", Words.Cell(one).Content)
                    .Add("tags", string.Join(", ", one.Tags))
                    .Add("labels", string.Join(", ", one.Labels.OrderBy(l => l.Key).Select(l => $"{l.Key}={l.Value}")))
                    .Add("running", one.MaxConcurrent is { } max ? $"{one.ActiveSteps} of {max}" : null)
                    .Add("key", one.KeyFingerprint)
                    .Add("agent", one.AgentVersion)
                    .Add("created", Text.Instant(one.CreatedAt, cli.Clock))
                    .Add("last seen", Text.Ago(one.LastHeartbeatAt, cli.Clock.GetUtcNow()))
                    .Write(cli.Out);
            return ExitCode.Ok;
        });
        return command;
    }
}
