using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Members;

/// <summary><c>members leave</c>.</summary>
internal static class MembersLeaveCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var yes = Options.Flag("--yes", "Do not ask", "-y");
        var command = new CliCommand("leave", "Leave the organization yourself")
        {
            Options = { yes },
            Details = "Your tokens in this organization end at once, this one too. The owner can't leave: hand over first with `organizations transfer`.",
        };
        var output = new OutputOptions(command, "Print who left, and what, as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var me = await client.Organizations.MeAsync(cancellation);
            if (!parse.GetValue(yes) && !cli.Confirm($"Leave {Text.Safe(me.Organization.Name)} as {Text.Safe(me.Email)}?", $"leaving {Text.Safe(me.Organization.Name)}"))
            {
                cli.Say("nobody left");
                return ExitCode.Cancelled;
            }
            await client.Organizations.RemoveAsync(me.UserId, cancellation);
            if (!output.TryWrite(cli, parse, me, w => w.IdentityBody, me.UserId))
                cli.Say($"you have left {Text.Safe(me.Organization.Name)}; forget its token here with `tanvrit-compute auth logout --workspace {Text.CommandLine([client.Api.Access.Workspace])}`");
            return ExitCode.Ok;
        });
        return command;
    }
}
