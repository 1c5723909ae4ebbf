using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Invitations;

/// <summary><c>invitations revoke</c>.</summary>
internal static class InvitationsRevokeCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var which = new Argument<string>("INVITATION") { Description = "Id, or the e-mail that it is for" };
        var json = Options.Json("Print { items: [...] }, the revoked ones, as JSON");
        var command = new CliCommand("revoke", "Take an invitation back; its link stops working")
        {
            Arguments = { which },
            Options = { json },
            Details = "An e-mail names all its invitations that are pending. Somebody who has come in already is removed with `members remove`.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var name = parse.GetValue(which)!;
            var named = (await client.Organizations.InvitationsAsync(cancellation))
                .Where(i => i.Id == name || (i.State == InvitationState.Pending && string.Equals(i.Email, name, StringComparison.OrdinalIgnoreCase))).ToList();
            if (named.Count == 0) throw new CliException($"there is no pending invitation '{Text.Safe(name)}'", "`tanvrit-compute invitations list` shows them");
            foreach (var one in named) await client.Organizations.RevokeAsync(one.Id, cancellation);
            if (parse.GetValue(json))
            {
                var revoked = (await client.Organizations.InvitationsAsync(cancellation)).Where(i => named.Any(n => n.Id == i.Id)).ToList();
                Json.Write(cli, new Page<InvitationBody> { Items = revoked }, w => w.PageInvitationBody);
            }
            else foreach (var one in named) cli.Say($"the invitation {one.Id} for {Text.Safe(one.Email ?? "whoever has the link")} is revoked");
            return ExitCode.Ok;
        });
        return command;
    }
}
