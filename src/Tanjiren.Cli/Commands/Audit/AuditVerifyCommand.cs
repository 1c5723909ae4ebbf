using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Audit;

/// <summary><c>audit verify</c>: recomputes the chain here, believing nothing that can be computed.</summary>
internal static class AuditVerifyCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var file = new Argument<string?>("FILE") { Description = "An export; without it the control plane is asked for one", Arity = ArgumentArity.ZeroOrOne };
        var head = Options.Text("--head", "FILE", "The server's head file: finds rows that were cut off, and a chain that was made anew");
        var key = Options.Text("--key", "FINGERPRINT", "The key that everything must be signed by, as an earlier verification showed it");
        var json = Options.Json("Print what was found as JSON");
        var command = new CliCommand("verify", "Check that the audit log is what was sealed, and name the first row that is not")
        {
            Arguments = { file },
            Options = { head, key, json },
            Details = "Every hash is computed again on this machine; with FILE nobody is asked. The exit code is 0 when all is well and 1 when it is not.\nAn export alone can't show that its last rows were cut off, nor that somebody who can write the database made the whole chain anew: the head file, which the server keeps outside the database, shows both. Copy it away from time to time.\nTrusted is the key of --key; without it that of the head file's first line of this organization; without either that of the export itself, which only shows that the export is all by one hand.",
            Examples = ["tanvrit-compute audit verify --head tanjiren.db.audit-heads", "tanvrit-compute audit verify audit.jsonl --key 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"],
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            // Before the rows: those that are sealed meanwhile are then in the export and not in the heads, and not the other way round.
            var verifier = new ChainVerifier(parse.GetValue(head) is { } heads ? ReadHeads(cli, heads) : null, parse.GetValue(key));
            if (parse.GetValue(file) is { } path) await FeedAsync(verifier, File.OpenRead(path), cancellation);
            else
            {
                using var client = ClientSession.Open(cli, server.Of(parse));
                await FeedAsync(verifier, await client.Audit.ExportAsync(cancellation), cancellation);
            }
            var report = verifier.Finish();
            if (parse.GetValue(json)) Json.Write(cli, report, w => w.ChainReport);
            else Tell(cli, report);
            return report.Fault is null ? ExitCode.Ok : ExitCode.AuditBroken;
        });
        return command;
    }

    private static HeadFile ReadHeads(CliContext cli, string path)
    {
        // A server may be appending to it.
        using var reader = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        var file = HeadFile.Read(LinesOf(reader));
        if (file.Unreadable > 0) cli.Say($"{file.Unreadable} lines of {Text.Safe(path)} can't be read; a server that dies leaves such a one");
        if (file.Unsigned > 0) cli.Say($"{file.Unsigned} lines of {Text.Safe(path)} carry no valid signature, and count for nothing");
        return file;
    }

    private static IEnumerable<string> LinesOf(StreamReader reader)
    {
        while (reader.ReadLine() is { } line) yield return line;
    }

    private static async Task FeedAsync(ChainVerifier verifier, Stream lines, CancellationToken cancellation)
    {
        using var reader = new StreamReader(lines);
        while (await reader.ReadLineAsync(cancellation) is { } line) verifier.Add(line);
    }

    private static void Tell(CliContext cli, ChainReport report)
    {
        if (report.Fault is { } fault)
        {
            cli.Out.WriteLine($"broken ({Words.Of(fault.Kind)}): {Text.Safe(fault.Message)}");
            return;
        }
        var rows = report.Last == report.StartsAfter ? "no rows" : $"rows {report.StartsAfter + 1} to {report.Last}";
        cli.Out.WriteLine($"verified: {rows} of {Text.Safe(report.Chain)}");
        if (report.StartsAfter > 0) cli.Out.WriteLine($"starts at {report.StartsAfter + 1}: what was before was deleted by age, which is signed");
        cli.Out.WriteLine($"signed by {report.KeyFingerprint}{(report.HeadsMatched > 0 ? $"; {report.HeadsMatched} heads of the head file fit" : "; without a head file a cut end is not seen")}");
    }
}
