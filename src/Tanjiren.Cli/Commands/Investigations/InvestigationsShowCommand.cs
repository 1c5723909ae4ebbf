using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Commands.Artifacts;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Investigations;

/// <summary><c>investigations show</c>.</summary>
internal static class InvestigationsShowCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("INVESTIGATION") { Description = "Id of the investigation (ivg_…)" };
        var command = new CliCommand("show", "Show an investigation with its newest jobs and its artifacts") { Arguments = { id } };
        var output = new OutputOptions(command, "Print the investigation as JSON, without its jobs and artifacts");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Investigations.GetAsync(parse.GetValue(id)!, cancellation);
            if (output.TryWrite(cli, parse, one, w => w.InvestigationBody, one.Id)) return ExitCode.Ok;
            Show(cli, one);
            var jobs = await client.Tasks.ListAsync([("investigation", one.Id)], WireLimits.DefaultPageSize, cancellation);
            if (jobs.Items.Count > 0)
            {
                cli.Out.WriteLine();
                var table = new TableView(cli).Columns("JOB", "STATE", "CREATED", "INTENT");
                foreach (var job in jobs.Items)
                    table.Row(job.Id, Words.Cell(job.State), Text.Ago(job.CreatedAt, cli.Clock.GetUtcNow()), Text.Shorten(Text.Safe(job.Intent), 60));
                table.Write();
                if (jobs.NextCursor is not null) cli.Say($"there are more jobs; `tanvrit-compute jobs list --investigation {one.Id}` lists them");
            }
            var artifacts = await client.Artifacts.ListAsync(one.Id, cancellation);
            if (artifacts.Items.Count > 0)
            {
                cli.Out.WriteLine();
                ArtifactsListCommand.Table(cli, artifacts.Items);
            }
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Show(CliContext cli, InvestigationBody one) => new FieldList()
        .Add("id", one.Id)
        .Add("title", one.Title)
        .Add("status", Words.Of(one.Status))
        .Add("objective", one.Objective)
        .Add("hypothesis", one.Hypothesis)
        .Add("findings", one.Findings)
        .Add("created", $"{Text.Instant(one.CreatedAt, cli.Clock)} by {one.CreatedBy}")
        .Add("changed", $"{Text.Instant(one.UpdatedAt, cli.Clock)}, version {one.Version}")
        .Add("closed", one.ClosedAt is null ? null : Text.Instant(one.ClosedAt, cli.Clock))
        .Write(cli.Out);
}
