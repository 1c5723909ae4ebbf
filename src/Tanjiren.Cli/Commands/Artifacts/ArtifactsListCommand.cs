using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Artifacts;

/// <summary><c>artifacts list</c>.</summary>
internal static class ArtifactsListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var place = new Argument<string>("PLACE") { Description = "Id of a job (task_…) or an investigation (ivg_…)" };
        var command = new CliCommand("list", "List the artifacts of a job or an investigation")
        {
            Arguments = { place },
            Details = "Those of an investigation's jobs belong to it too. The artifacts of a job are listed also when the job itself is gone.",
        };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Artifacts.ListAsync(parse.GetValue(place)!, cancellation);
            if (output.TryWrite(cli, parse, all, w => w.PageArtifactBody, a => a.Id)) return ExitCode.Ok;
            if (all.Items.Count == 0) cli.Say("no artifacts; attach one with `tanvrit-compute artifacts add`");
            else Table(cli, all.Items);
            return ExitCode.Ok;
        });
        return command;
    }

    public static void Table(CliContext cli, IReadOnlyList<ArtifactBody> artifacts)
    {
        var now = cli.Clock.GetUtcNow();
        var table = new TableView(cli).Columns("ID", "KIND", "SIZE", "CREATED", "TITLE");
        foreach (var one in artifacts)
            table.Row(one.Id, Words.Of(one.Kind), one.SizeBytes is { } size ? Text.Bytes(size) : "-", Text.Ago(one.CreatedAt, now), Text.Shorten(Text.Safe(one.Title), 60));
        table.Write();
    }
}
