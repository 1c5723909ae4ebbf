using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations recover</c>.</summary>
internal static class RecoverCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var json = Options.Json("Print the code as JSON");
        var command = new CliCommand("recover", "Make a one-time code with which a machine gets a new key in place of a lost one")
        {
            Arguments = { name },
            Options = { json },
            Details = "The code works once and for ten minutes, and changes nothing by itself: the machine shows its new key, and an admin approves that with `workstations approve-key` within an hour. The workstation keeps its name, id and history; its chain of keys shows the gap.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var workstation = parse.GetValue(name)!;
            var code = await client.Instances.RecoveryCodeAsync(workstation, cancellation);
            if (parse.GetValue(json))
            {
                Json.Write(cli, code, w => w.PairingCodeBody);
                return ExitCode.Ok;
            }
            cli.Out.WriteLine(code.Code);
            cli.Say($"works once, until {Text.Instant(code.ExpiresAt, cli.Clock)}; on the machine run:");
            cli.Say($"  tanvrit-compute agent recover --server {ServerAccessRules.Text(client.Api.Access.Url)} --code {code.Code}");
            cli.Say($"then, with the last 8 characters of the key that it shows: `tanvrit-compute workstations approve-key {Text.CommandLine([Text.Safe(workstation)])}`");
            return ExitCode.Ok;
        });
        return command;
    }
}
