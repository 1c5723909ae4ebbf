using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Approvals;

/// <summary><c>approvals watch</c>: the inbox, asked for again and again. A lost connection is waited for.</summary>
internal static class ApprovalsWatchCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var json = Options.Json("Print one approval a line as JSON");
        var command = new CliCommand("watch", "Tell of each approval that a job begins to wait for, until Ctrl-C")
        {
            Options = { json },
            Details = "Those that wait already come first. Each is told once, on standard output; answer it with `jobs approve --approval ID` or `jobs reject`.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, _) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            using var interrupts = cli.ListenForInterrupts();
            try
            {
                await WatchAsync(cli, client, parse.GetValue(json), interrupts.First);
            }
            catch (OperationCanceledException) when (interrupts.First.IsCancellationRequested)
            {
                // That is how one leaves.
            }
            return ExitCode.Ok;
        });
        return command;
    }

    private static async Task WatchAsync(CliContext cli, ClientSession client, bool json, CancellationToken leave)
    {
        var told = new HashSet<string>();
        var backoff = new Backoff(cli.Timeouts, cli.Clock);
        var lost = false;
        while (true)
        {
            TimeSpan? wait;
            try
            {
                var pending = await client.Approvals.ListAsync(Words.Of(ApprovalState.Pending), leave);
                if (lost) cli.Say("connected again");
                lost = false;
                backoff.Reset();
                told.IntersectWith(pending.Select(a => a.Id));
                foreach (var one in pending.Where(a => told.Add(a.Id))) Tell(cli, one, json);
                wait = cli.Timeouts.WatchApprovals;
            }
            catch (Exception e) when (e is UnreachableException or ApiException { IsTransient: true })
            {
                if (!lost) cli.Say($"lost the connection ({Text.Safe(e.Message)}); trying again …");
                lost = true;
                wait = (e as ApiException)?.RetryAfter;
            }
            await backoff.PauseAsync(leave, wait);
        }
    }

    private static void Tell(CliContext cli, ApprovalBody one, bool json)
    {
        if (json) Json.WriteLine(cli, one, w => w.ApprovalBody);
        else cli.Out.WriteLine($"{one.TaskId}  {one.Id}  {Words.Of(one.Class)}  {Text.Shorten(Text.Safe(one.Intent), 80)}  ({ApprovalNotice.Because(one)}; until {Text.Instant(one.ExpiresAt, cli.Clock)})");
    }
}
