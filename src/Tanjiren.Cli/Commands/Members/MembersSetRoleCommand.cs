using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Members;

/// <summary><c>members set-role</c>.</summary>
internal static class MembersSetRoleCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var who = new Argument<string>("MEMBER") { Description = "E-mail or id" };
        var role = RoleWords.Argument();
        var command = new CliCommand("set-role", "Change the role of a member")
        {
            Arguments = { who, role },
            Details = "It counts from their next request on; open streams that need more than the new role end at once. Open invitations that they may no longer make are revoked.",
            Examples = ["tanvrit-compute members set-role ann@example.org admin"],
        };
        var output = new OutputOptions(command, "Print the member as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var wanted = RoleWords.Parse(parse.GetValue(role)!);
            using var client = ClientSession.Open(cli, server.Of(parse));
            var member = await client.Organizations.MemberAsync(parse.GetValue(who)!, cancellation);
            member = await client.Organizations.SetRoleAsync(member.UserId, wanted, cancellation);
            if (!output.TryWrite(cli, parse, member, w => w.MemberBody, member.UserId))
                cli.Say($"{Text.Safe(member.Email)} has the role {Words.Of(member.Role)} now");
            return ExitCode.Ok;
        });
        return command;
    }
}
