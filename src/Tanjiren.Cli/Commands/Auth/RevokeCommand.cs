using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary><c>auth revoke</c>: signs another machine out.</summary>
internal static class RevokeCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("GRANT") { Description = "Id of the sign-in (gnt_…), from `auth grants`" };
        var command = new CliCommand("revoke", "Sign another machine out")
        {
            Arguments = { id },
            Details = "Its tokens are refused at once. Workstations that were registered with the sign-in finish what they run and take nothing more.",
            Examples = ["tanvrit-compute auth revoke gnt_01jd3v0m5c7k2q9xw4tz8r6s1y"],
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            await client.Grants.RevokeAsync(parse.GetValue(id)!, cancellation);
            cli.Say($"{Output.Text.Safe(parse.GetValue(id)!)} is signed out");
            return ExitCode.Ok;
        });
        return command;
    }
}
