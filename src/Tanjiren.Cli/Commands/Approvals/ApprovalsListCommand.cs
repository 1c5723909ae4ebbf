using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Approvals;

/// <summary><c>approvals list</c>.</summary>
internal static class ApprovalsListCommand
{
    private const string All = "all";

    public static CliCommand Create(CliContext cli)
    {
        var state = Options.Choice("--state", "Only approvals in this state (default pending)", [.. Enum.GetValues<ApprovalState>().Select(s => Words.Of(s)), All]);
        var command = new CliCommand("list", "List the approvals that jobs wait for, oldest first") { Options = { state } };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var wanted = parse.GetValue(state) ?? Words.Of(ApprovalState.Pending);
            var all = await client.Approvals.ListAsync(wanted == All ? null : wanted, cancellation);
            if (output.TryWrite(cli, parse, new Page<ApprovalBody> { Items = all }, w => w.PageApprovalBody, a => a.Id)) return ExitCode.Ok;
            if (all.Count == 0) cli.Say(wanted == Words.Of(ApprovalState.Pending) ? "nothing waits for an approval" : "no such approvals");
            else Table(cli, all);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Table(CliContext cli, IReadOnlyList<ApprovalBody> all)
    {
        var now = cli.Clock.GetUtcNow();
        var table = new TableView(cli).Columns("JOB", "CLASS", "STATE", "ASKED", "FOR", "BECAUSE", "ID");
        foreach (var one in all)
            table.Row(one.TaskId, Words.Of(one.Class), State(one.State), Text.Ago(one.RequestedAt, now), Text.Shorten(Text.Safe(one.Intent), 60), Text.Shorten(ApprovalNotice.Because(one), 60), one.Id);
        table.Write();
    }

    private static Cell State(ApprovalState state) => state switch
    {
        ApprovalState.Pending => Cell.Warn(Words.Of(state)),
        ApprovalState.Approved or ApprovalState.Consumed => Cell.Good(Words.Of(state)),
        ApprovalState.Rejected => Cell.Bad(Words.Of(state)),
        _ => Words.Of(state),
    };
}
