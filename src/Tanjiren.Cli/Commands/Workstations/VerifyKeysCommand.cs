using System.CommandLine;
using System.Text.Json;

using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations verify-keys</c>: asks no server, and believes none.</summary>
internal static class VerifyKeysCommand
{
    private const int GapNotAccepted = 1;
    private const int DoesNotVerify = 2;

    public static CliCommand Create(CliContext cli)
    {
        var file = new Argument<string>("FILE") { Description = "What `workstations keys --json` printed; - reads standard input" };
        var anchor = Options.Text("--anchor", "FINGERPRINT", "Fingerprint of a key of this workstation that you know, for example the one compared when it was paired (write --anchor=FINGERPRINT, it may begin with a dash)");
        anchor.Required = true;
        var acceptGaps = Options.Flag("--accept-gaps", "Take the server's word for recoveries of lost keys");
        var serverKey = Options.Text("--server-key", "FINGERPRINT", "Fingerprint of the server's key, as `agent status` shows it (write --server-key=FINGERPRINT)");
        var command = new CliCommand("verify-keys", "Verify an exported chain of keys, offline")
        {
            Arguments = { file },
            Options = { anchor, acceptGaps, serverKey },
            Details = """
                It follows the chain from the anchor: each key must have signed for the next, and the server that the old key named must have recorded the approval. Keys older than the anchor are not vouched for. Where a lost key was recovered nothing leads on, and it stops unless --accept-gaps is given. Whose word is taken then, a rotation before it has said; where there was none, say it with --server-key.

                Whether the file is the newest, no file can say: compare the current key that it ends with to the one in `agent status`.

                Exit codes: 0 verified, 1 whole, but with a gap that was not accepted, 2 it does not verify, 125 tanvrit-compute itself failed.
                """,
            Examples = ["tanvrit-compute workstations verify-keys build-1.keys.json --anchor=9c8vQ0yCkPZxbS3s5dZ0h1rQm2kq3bJmWQ7l2nq0VtE"],
        };
        command.SetAction(parse =>
        {
            var result = KeyChain.Verify(Read(cli, parse.GetValue(file)!), parse.GetValue(anchor)!.Trim(), parse.GetValue(acceptGaps), parse.GetValue(serverKey)?.Trim());
            Show(cli, result, parse.GetValue(acceptGaps));
            return result.Verdict switch
            {
                KeyChainVerdict.Verified => ExitCode.Ok,
                KeyChainVerdict.GapNotAccepted => GapNotAccepted,
                _ => DoesNotVerify,
            };
        });
        return command;
    }

    private static void Show(CliContext cli, KeyChainResult result, bool acceptGaps)
    {
        var table = new TableView(cli).Columns("KEY", "FINGERPRINT", "SINCE", "STANDING", "APPROVED BY");
        foreach (var link in result.Links) table.Row(link.Number.ToString(), link.Fingerprint, Text.Instant(link.At, cli.Clock), Standing(link.Standing), link.ApprovedBy ?? "-");
        if (result.Links.Count > 0) table.Write();
        cli.Say(result.Verdict switch
        {
            KeyChainVerdict.Verified => $"verified: the anchor leads to {result.Links[^1].Fingerprint}",
            KeyChainVerdict.GapNotAccepted when acceptGaps => $"not verified: {result.Problem}; add --server-key=FINGERPRINT, the server key that `agent status` shows on the machine",
            KeyChainVerdict.GapNotAccepted => $"not verified: {result.Problem}; to take the server's word for it, add --accept-gaps",
            _ => $"NOT VERIFIED: {Text.Safe(result.Problem)}",
        });
    }

    private static Cell Standing(KeyStanding standing) => standing switch
    {
        KeyStanding.Anchor => Cell.Good("anchor"),
        KeyStanding.Vouched => Cell.Good("vouched for"),
        KeyStanding.Gap => Cell.Warn("gap"),
        _ => "before the anchor",
    };

    private static KeyChainBody Read(CliContext cli, string file)
    {
        try
        {
            var text = file == "-" ? cli.Input.ReadToEnd() : File.ReadAllText(file);
            return JsonSerializer.Deserialize(text, WireJson.Default.KeyChainBody) ?? throw new JsonException("null");
        }
        catch (JsonException e)
        {
            throw new CliException($"{file} is not an exported chain of keys", "make one with `tanvrit-compute workstations keys NAME --json`", e);
        }
    }
}
