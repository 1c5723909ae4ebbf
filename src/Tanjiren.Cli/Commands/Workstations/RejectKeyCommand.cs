using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations reject-key</c>.</summary>
internal static class RejectKeyCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var reason = Options.Text("--reason", "TEXT", "Why, for the record and for whoever asked");
        var request = Options.Text("--request", "ID", "The request that you looked at (rot_…)");
        var command = new CliCommand("reject-key", "Refuse a workstation's new key; the old one goes on")
        {
            Arguments = { name },
            Options = { reason, request },
            Details = "Admins and the owner may. If nobody at the machine asked for a new key, somebody else has the old one: remove the workstation, or recover it with a key made there.",
        };
        var output = new OutputOptions(command, "Print the request as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var (chain, id) = await KeyRotationWords.MeantAsync(client, parse.GetValue(name)!, parse.GetValue(request), cancellation);
            var rejected = await client.Instances.RejectKeyAsync(chain.InstanceId, id, parse.GetValue(reason), cancellation);
            if (!output.TryWrite(cli, parse, rejected, w => w.KeyRotationBody, rejected.Id)) cli.Say($"{rejected.Id} is rejected; {Text.Safe(chain.InstanceName)} keeps its key");
            return ExitCode.Ok;
        });
        return command;
    }
}
