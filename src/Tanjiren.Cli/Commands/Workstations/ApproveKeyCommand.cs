using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations approve-key</c>.</summary>
internal static class ApproveKeyCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("WORKSTATION") { Description = "Name or id" };
        var fingerprint = Options.Text("--fingerprint", "LAST8", "The last 8 characters of the new key, as the machine shows them (default: asked for; write --fingerprint=LAST8, it may begin with a dash)");
        var request = Options.Text("--request", "ID", "The request that you looked at (rot_…); if another took its place, nothing is approved");
        var command = new CliCommand("approve-key", "Put a workstation's new key in the place of the old one")
        {
            Arguments = { name },
            Options = { fingerprint, request },
            Details = "Admins and the owner may. Read the characters at the machine itself (`agent status`, `agent recover`), not from whoever asks. From then on the old key is refused; what runs goes on. After five fingerprints that do not match the request is rejected.",
            Examples = ["tanvrit-compute workstations approve-key build-1", "tanvrit-compute workstations approve-key build-1 --fingerprint=q4Zk-9sA"],
        };
        var output = new OutputOptions(command, "Print the request as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var (chain, id) = await KeyRotationWords.MeantAsync(client, parse.GetValue(name)!, parse.GetValue(request), cancellation);
            var forPeople = !output.IsJson(parse) && !output.IsId(parse);
            if (forPeople && chain.Pending?.Id == id) KeyRotationWords.Show(cli, chain.Pending);
            var typed = parse.GetValue(fingerprint) ?? Ask(cli);
            var approved = await client.Instances.ApproveKeyAsync(chain.InstanceId, id, typed.Trim(), cancellation);
            if (!output.TryWrite(cli, parse, approved, w => w.KeyRotationBody, approved.Id))
                cli.Say($"{Text.Safe(chain.InstanceName)} has the key {approved.NewFingerprint}; {approved.OldFingerprint} is refused from now on");
            return ExitCode.Ok;
        });
        return command;
    }

    private static string Ask(CliContext cli)
    {
        if (cli.InputIsTerminal) cli.Err.Write("Last 8 characters of the new key, as the machine shows them: ");
        return cli.Input.ReadLine() ?? "";
    }
}
