using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Invitations;

/// <summary><c>invitations list</c>.</summary>
internal static class InvitationsListCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("list", "List the invitations and what became of them")
        {
            Details = "They are kept for 30 days after their last hour. The links are not shown again.",
        };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var all = await client.Organizations.InvitationsAsync(cancellation);
            if (output.TryWrite(cli, parse, new Page<InvitationBody> { Items = all }, w => w.PageInvitationBody, i => i.Id)) return ExitCode.Ok;
            if (all.Count == 0) cli.Say("no invitations; make one with `tanvrit-compute invitations create EMAIL`");
            else
            {
                var table = new TableView(cli).Columns("FOR", "ROLE", "STATE", "EXPIRES", "ID");
                foreach (var one in all) table.Row(one.Email ?? "whoever has the link", Words.Of(one.Role), State(one.State), Text.Instant(one.ExpiresAt, cli.Clock), one.Id);
                table.Write();
            }
            return ExitCode.Ok;
        });
        return command;
    }

    private static Cell State(InvitationState state) => state switch
    {
        InvitationState.Pending => Cell.Warn(Words.Of(state)),
        InvitationState.Accepted => Cell.Good(Words.Of(state)),
        _ => Words.Of(state),
    };
}
