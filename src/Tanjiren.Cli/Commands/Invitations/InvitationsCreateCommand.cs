using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Commands.Members;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Invitations;

/// <summary><c>invitations create</c>.</summary>
internal static class InvitationsCreateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var email = new Argument<string?>("EMAIL") { Description = "Only this address may accept (default: whoever has the link)", Arity = ArgumentArity.ZeroOrOne };
        var role = Options.Choice("--role", "Role that they get (default member)", RoleWords.All);
        var hours = Options.Number("--expires-in-hours", "N", "Hours until the link stops working (default 72)", 1, 720);
        var command = new CliCommand("create", "Make a link by which one person joins the organization")
        {
            Arguments = { email },
            Options = { role, hours },
            Details = "The link works once, and is shown only now. Whoever has it can join, as the address that you name if you name one; send it by a way that only they read. It ends when you may no longer give its role. With -o id, the id is printed and the link goes to standard error.",
            Examples = ["tanvrit-compute invitations create ann@example.org --role admin"],
        };
        var output = new OutputOptions(command, "Print the invitation and its link as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var made = await client.Organizations.InviteAsync(new CreateInvitationRequest
            {
                Email = parse.GetValue(email), Role = RoleWords.Parse(parse.GetValue(role) ?? "member"), ExpiresInHours = parse.GetValue(hours),
            }, cancellation);
            if (output.TryWrite(cli, parse, made, w => w.CreatedInvitation, made.Invitation.Id))
            {
                // It is shown only now, and an id invites nobody.
                if (output.IsId(parse)) cli.Say(Text.Safe(made.Link));
                return ExitCode.Ok;
            }
            cli.Out.WriteLine(made.Link);
            cli.Say($"for {Text.Safe(made.Invitation.Email ?? "whoever has the link")} as {Words.Of(made.Invitation.Role)}; works once, until {Text.Instant(made.Invitation.ExpiresAt, cli.Clock)}");
            return ExitCode.Ok;
        });
        return command;
    }
}
