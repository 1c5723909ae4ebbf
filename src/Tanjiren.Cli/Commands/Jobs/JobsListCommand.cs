using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs list</c>.</summary>
internal static class JobsListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var status = Options.Choice("--status", "Only jobs in this state", [.. Enum.GetValues<TaskState>().Select(s => Words.Of(s))]);
        var mode = Options.Choice("--mode", "Only jobs of this mode", [.. Enum.GetValues<TaskMode>().Select(m => Words.Of(m))]);
        var approval = Options.Choice("--approval", "Only jobs whose approval stands so", [.. Enum.GetValues<ApprovalStatus>().Select(a => Words.Of(a))]);
        var workstation = Options.Text("--workstation", "NAME", "Only jobs with a step for this workstation, or that it took; by name or id", "-w");
        var investigation = Options.Text("--investigation", "ID", "Only jobs of this investigation");
        var limit = Options.Number("--limit", "N", "How many, newest first (default 50)", 1, 10_000);
        var command = new CliCommand("list", "List jobs, newest first")
        {
            Options = { status, mode, approval, workstation, investigation, limit },
            Details = "All given conditions must hold. A planned job has no steps yet, and is of no workstation.",
            Examples = ["tanvrit-compute jobs list --workstation build-1 --status failed"],
        };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var wanted = parse.GetValue(limit) ?? WireLimits.DefaultPageSize;
            var worker = parse.GetValue(workstation) is { } named ? await client.Instances.IdOfAsync(named, cancellation) : null;
            var page = await client.Tasks.ListAsync(
                [("status", parse.GetValue(status)), ("mode", parse.GetValue(mode)), ("approval", parse.GetValue(approval)), ("worker", worker), ("investigation", parse.GetValue(investigation))],
                wanted, cancellation);
            if (output.TryWrite(cli, parse, page, w => w.PageTaskBody, j => j.Id)) return ExitCode.Ok;
            if (page.Items.Count == 0) cli.Say("no jobs; run one with `tanvrit-compute jobs run`");
            else
            {
                Table(cli, page.Items);
                if (page.Items.Count(j => j.Held) is > 0 and var held)
                    cli.Say($"{held} held since the server was restored from a backup; cancel what has run since, then the owner lets the rest go on with `tanvrit-compute jobs resume`");
                if (page.NextCursor is not null) cli.Say($"there are more; --limit {wanted * 2} shows more of them");
            }
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Table(CliContext cli, IReadOnlyList<TaskBody> jobs)
    {
        var now = cli.Clock.GetUtcNow();
        var table = new TableView(cli).Columns("ID", "STATE", "CREATED", "TOOK", "INTENT");
        foreach (var job in jobs)
            table.Row(job.Id, job.Held ? Cell.Warn($"{Words.Of(job.State)}, held") : Words.Cell(job.State), Text.Ago(job.CreatedAt, now), Took(job, now), Text.Shorten(Text.Safe(job.Intent), 60));
        table.Write();
    }

    private static string Took(TaskBody job, DateTimeOffset now) =>
        job.StartedAt is { } start ? Text.Duration((job.EndedAt ?? now) - start) : "-";
}
