using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations pair-code</c>.</summary>
internal static class PairCodeCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var json = Options.Json("Print the code as JSON");
        var command = new CliCommand("pair-code", "Make a one-time code that binds a machine to a workstation")
        {
            Arguments = { name },
            Options = { json },
            Details = "The code works once and for ten minutes. Compare the key fingerprint that `agent pair` prints with the one in `workstations show`.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var code = await client.Instances.PairingCodeAsync(parse.GetValue(name)!, cancellation);
            if (parse.GetValue(json))
            {
                Json.Write(cli, code, w => w.PairingCodeBody);
                return ExitCode.Ok;
            }
            cli.Out.WriteLine(code.Code);
            cli.Say($"works once, until {Text.Instant(code.ExpiresAt, cli.Clock)}; on the machine run:");
            cli.Say($"  tanvrit-compute agent pair --server {ServerAccessRules.Text(client.Api.Access.Url)} --code {code.Code}");
            return ExitCode.Ok;
        });
        return command;
    }
}
