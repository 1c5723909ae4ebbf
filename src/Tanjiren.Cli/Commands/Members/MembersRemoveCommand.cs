using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Members;

/// <summary><c>members remove</c>.</summary>
internal static class MembersRemoveCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var who = new Argument<string>("MEMBER") { Description = "E-mail or id" };
        var yes = Options.Flag("--yes", "Do not ask", "-y");
        var command = new CliCommand("remove", "Remove a member from the organization")
        {
            Arguments = { who },
            Options = { yes },
            Details = "Their sessions, tokens and invitations here end at once; their account, their jobs and the workstations stay.",
        };
        var output = new OutputOptions(command, "Print the removed member as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var member = await client.Organizations.MemberAsync(parse.GetValue(who)!, cancellation);
            var me = await client.Organizations.MeAsync(cancellation);
            if (member.UserId == me.UserId) throw new CliException("that is you", "to leave the organization, use `members leave`");
            if (!parse.GetValue(yes) && !cli.Confirm($"Remove {Text.Safe(member.Email)} from {Text.Safe(me.Organization.Name)}?", $"removing {Text.Safe(member.Email)}"))
            {
                cli.Say("nobody removed");
                return ExitCode.Cancelled;
            }
            await client.Organizations.RemoveAsync(member.UserId, cancellation);
            if (!output.TryWrite(cli, parse, member, w => w.MemberBody, member.UserId))
                cli.Say($"{Text.Safe(member.Email)} is removed from {Text.Safe(me.Organization.Name)}");
            return ExitCode.Ok;
        });
        return command;
    }
}
