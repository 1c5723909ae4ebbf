using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Organizations;

/// <summary><c>organizations transfer</c>.</summary>
internal static class OrganizationsTransferCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var who = new Argument<string>("MEMBER") { Description = "E-mail or id of the member who becomes the owner" };
        var yes = Options.Flag("--yes", "Do not ask", "-y");
        var command = new CliCommand("transfer", "Make another member the owner; you become an admin")
        {
            Arguments = { who },
            Options = { yes },
            Details = "Only the owner can do it, and only the new owner can undo it.",
        };
        var output = new OutputOptions(command, "Print the new owner as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var member = await client.Organizations.MemberAsync(parse.GetValue(who)!, cancellation);
            var organization = (await client.Organizations.MeAsync(cancellation)).Organization;
            if (!parse.GetValue(yes) && !cli.Confirm($"Make {Text.Safe(member.Email)} the owner of {Text.Safe(organization.Name)}? You can't take it back.", $"handing over {Text.Safe(organization.Name)}"))
            {
                cli.Say("nothing transferred");
                return ExitCode.Cancelled;
            }
            member = await client.Organizations.TransferAsync(member.UserId, cancellation);
            if (!output.TryWrite(cli, parse, member, w => w.MemberBody, member.UserId))
                cli.Say($"{Text.Safe(member.Email)} is the owner of {Text.Safe(organization.Name)} now; you are an admin");
            return ExitCode.Ok;
        });
        return command;
    }
}
