using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary><c>auth print-token</c>: for scripts that call the API themselves.</summary>
internal static class PrintTokenCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("print-token", "Print an access token that is good now")
        {
            Details = "It is renewed first when it is about to expire. Send it as `Authorization: Bearer TOKEN`; whoever has it can do what you can do, for its ten minutes (a personal access token: until it expires).",
            Examples = ["curl -H \"Authorization: Bearer $(tanvrit-compute auth print-token)\" https://tanjiren.example.org/api/auth/me"],
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var access = cli.Credentials.Resolve(server.Of(parse), cli.Variable);
            cli.Out.WriteLine(access.Renewable ? await new TokenKeeper(cli, access.Workspace).CurrentAsync(cancellation) : access.Token);
            return ExitCode.Ok;
        });
        return command;
    }
}
