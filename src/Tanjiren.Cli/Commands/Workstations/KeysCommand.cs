using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations keys</c>.</summary>
internal static class KeysCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var command = new CliCommand("keys", "Show the keys that a workstation had, and a new one that waits for approval")
        {
            Arguments = { name },
            Details = "With --json it is the chain of statements and approvals, which `workstations verify-keys` verifies without a server. Of a key that waits only the start is shown: what approves it is read at the machine.",
            Examples = ["tanvrit-compute workstations keys build-1 --json > build-1.keys.json"],
        };
        var output = new OutputOptions(command, "Print the chain of keys as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var chain = await client.Instances.KeysAsync(parse.GetValue(name)!, cancellation);
            if (!output.TryWrite(cli, parse, chain, w => w.KeyChainBody, chain.Pending is { } waiting ? [waiting.Id] : [])) Show(cli, chain);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Show(CliContext cli, KeyChainBody chain)
    {
        var table = new TableView(cli).Columns("KEY", "FINGERPRINT", "SINCE", "HOW", "APPROVED BY");
        table.Row("0", chain.First.Fingerprint, Text.Instant(chain.First.BoundAt, cli.Clock), "paired", "-");
        foreach (var change in chain.Changes)
            table.Row(change.Number.ToString(), change.Fingerprint, Text.Instant(change.ApprovedAt, cli.Clock),
                change.Kind == KeyRotationKind.Recovery ? Cell.Warn("recovery") : Words.Of(change.Kind), change.ApprovedBy);
        table.Write();
        if (chain.Pending is not { } pending) return;
        cli.Out.WriteLine();
        KeyRotationWords.Show(cli, pending);
        cli.Say($"next: `tanvrit-compute workstations approve-key {Text.CommandLine([Text.Safe(chain.InstanceName)])}`, with the last 8 characters of the new key that `agent status` shows on the machine");
    }
}
