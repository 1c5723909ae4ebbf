using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Approvals;

/// <summary><c>approvals watch</c>: the inbox, told by the server as it fills.</summary>
internal static class ApprovalsWatchCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var json = Options.Json("Print one approval or question a line as JSON");
        var command = new CliCommand("watch", "Tell of each approval that a job begins to wait for, and each question of its coding agent, until Ctrl-C")
        {
            Options = { json },
            Details = "Those that wait already come first. Each is told once, on standard output; answer an approval with `jobs approve --approval ID` or `jobs reject`, a coding agent with `jobs answer`.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, _) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            using var interrupts = cli.ListenForInterrupts();
            var asJson = parse.GetValue(json);
            var inbox = new InboxFollower(client.Approvals, client.Api.Access.Url, cli.Timeouts, cli.Clock)
            {
                OnAsked = one => Tell(cli, one, asJson), OnPermission = one => Tell(cli, one, asJson), Say = cli.Say,
            };
            try
            {
                await inbox.FollowAsync(interrupts.First);
            }
            catch (OperationCanceledException) when (interrupts.First.IsCancellationRequested)
            {
                // That is how one leaves.
            }
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Tell(CliContext cli, ApprovalBody one, bool json)
    {
        if (json) Json.WriteLine(cli, one, w => w.ApprovalBody);
        else cli.Out.WriteLine($"{one.TaskId}  {one.Id}  {Words.Of(one.Class)}  {Text.Shorten(Text.Safe(one.Intent), 80)}  ({ApprovalNotice.Because(one)}; until {Text.Instant(one.ExpiresAt, cli.Clock)})");
    }

    private static void Tell(CliContext cli, PermissionBody one, bool json)
    {
        if (json) Json.WriteLine(cli, one, w => w.PermissionBody);
        else cli.Out.WriteLine($"{one.TaskId}  {one.Id}  {PermissionWords.Of(one.Tool)}  {Text.Shorten(Text.Safe(one.Intent), 80)}  (until {Text.Instant(one.ExpiresAt, cli.Clock)})");
    }
}
