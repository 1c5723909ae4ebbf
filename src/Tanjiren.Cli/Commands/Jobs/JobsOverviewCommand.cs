using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs overview</c>.</summary>
internal static class JobsOverviewCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("overview", "Show how the organization does: open jobs, throughput, queue and workers");
        var json = Options.Json("Print the overview as JSON");
        command.Options.Add(json);
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var overview = await client.Tasks.OverviewAsync(cancellation);
            if (parse.GetValue(json)) Json.Write(cli, overview, w => w.RuntimeOverviewBody);
            else Show(cli, overview);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Show(CliContext cli, RuntimeOverviewBody overview)
    {
        var (open, ended, queue, workers) = (overview.Open, overview.Ended, overview.Queue, overview.Workers);
        new FieldList()
            .Add("open jobs", $"{open.Planned} planned, {open.Queued} queued, {open.Executing} executing")
            .Add("ended", $"{ended.Completed} completed, {ended.Failed} failed, {ended.Cancelled} cancelled in the last {ended.WindowMinutes} min ({ended.PerMinute:0.##} a minute)")
            .Add("queue", queue.OldestMs is null ? "no step waits" : $"{queue.Steps} steps; the oldest waits {Age(queue.OldestMs)}, half of them {Age(queue.MedianMs)} or longer")
            .Add("workers", $"{workers.Total}: {workers.Ready} ready, {workers.Busy} busy, {workers.Offline} offline")
            .Add("capacity", $"{workers.Active} steps run, {workers.Capacity} may at once")
            .Write(cli.Out);
    }

    private static string Age(long? ms) => Text.Duration(TimeSpan.FromMilliseconds(ms ?? 0));
}
