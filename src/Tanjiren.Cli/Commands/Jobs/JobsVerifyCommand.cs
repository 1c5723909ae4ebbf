using System.CommandLine;
using System.Runtime.CompilerServices;
using System.Text.Json;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs verify</c>: believes no server, and with <c>--file</c> asks none.</summary>
internal static class JobsVerifyCommand
{
    /// <summary>A chunk is up to 256 KiB, so a page stays under 11 MiB of base64.</summary>
    private const int PageSize = 32;

    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string?>("JOB") { Description = "Id of the job (task_…); not with --file", Arity = ArgumentArity.ZeroOrOne };
        var anchor = Options.Repeated("--anchor", "FINGERPRINT", "Fingerprint of a key of its workstation that you know, for example the one compared when it was paired; once for each workstation (write --anchor=FINGERPRINT, it may begin with a dash)");
        var file = Options.Text("--file", "BUNDLE", "Verify what --save wrote, and ask nobody");
        var save = Options.Text("--save", "BUNDLE", "Write all that it takes to verify the job again, its output included, to this file");
        var json = Options.Json("Print what was found of each step as JSON");
        var command = new CliCommand("verify", "Check what the workstations signed of a job: what was run, how it ended, every byte of its output")
        {
            Arguments = { id },
            Options = { anchor, file, save, json },
            Details = """
                Everything is computed on this machine. Of each step it checks the receipt by the chain of keys of its workstation, from the anchor on; the assignment in it by the keys of the control plane; what the task says was to run, and the result, against both; and the output, every chunk of every start. Without --anchor the key that the workstation was paired with is taken on the server's word: that shows only that all is by one hand.

                Output that retention has deleted can't be checked any more; its digest stays signed, and the step is told as "verified, log purged". A step that no workstation ended is signed by nobody and does not verify, and neither does output of a start that was lost. Of steps that are not in a bundle, the bundle tells nothing.

                Exit codes: 0 every step is verified, or verified with its log purged, 1 one at least is not, 125 tanvrit-compute itself failed.
                """,
            Examples =
            [
                "tanvrit-compute jobs verify task_01k9zc… --anchor=9c8vQ0yCkPZxbS3s5dZ0h1rQm2kq3bJmWQ7l2nq0VtE --save release.receipts",
                "tanvrit-compute jobs verify --file release.receipts --anchor=9c8vQ0yCkPZxbS3s5dZ0h1rQm2kq3bJmWQ7l2nq0VtE",
            ],
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var (job, bundle, into) = (parse.GetValue(id), parse.GetValue(file), parse.GetValue(save));
            if ((bundle is null) == (job is null)) throw new CliException(job is null ? "no job is given" : "a job is given as well as --file", "name the job, or with --file the bundle that --save wrote");
            if (bundle is not null && into is not null) throw new CliException("both --file and --save are given", "a bundle is a file already: copy it");
            using var client = job is null ? null : ClientSession.Open(cli, server.Of(parse));
            string[] anchors = [.. parse.GetValue(anchor)!.Select(a => a.Trim())];
            var results = await VerifyAsync(client is null ? ReadAsync(bundle!, cancellation) : FetchAsync(client, job!, cancellation), anchors, into, cancellation);

            if (parse.GetValue(json)) Json.Write(cli, results, w => w.IReadOnlyListReceiptResult);
            else Tell(cli, results);
            if (anchors.Length == 0 && results.Any(r => r.Key is not null)) cli.Say("whose keys these are, the server has said; give --anchor with a fingerprint that `agent status` showed on the machine");
            return results.Count > 0 && results.All(r => r.Verdict != ReceiptVerdict.NotVerified) ? ExitCode.Ok : ExitCode.NotVerified;
        });
        return command;
    }

    private static async Task<IReadOnlyList<ReceiptResult>> VerifyAsync(IAsyncEnumerable<ReceiptBundleLine> lines, string[] anchors, string? into, CancellationToken cancellation)
    {
        var results = new List<ReceiptResult>();
        ReceiptVerifier? verifier = null;
        await using var writer = into is null ? null : new StreamWriter(into);
        await foreach (var line in lines.WithCancellation(cancellation))
        {
            if (line.Step is { } step)
            {
                if (verifier is not null) results.Add(verifier.Finish());
                verifier = new ReceiptVerifier(step, anchors);
            }
            if (line.Log is { } chunk) verifier?.Add(chunk);
            if (writer is not null) await writer.WriteLineAsync(JsonSerializer.Serialize(line, WireJson.Default.ReceiptBundleLine).AsMemory(), cancellation);
        }
        if (verifier is not null) results.Add(verifier.Finish());
        return results;
    }

    private static async IAsyncEnumerable<ReceiptBundleLine> FetchAsync(ClientSession client, string id, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var job = await client.Tasks.GetAsync(id, cancellation);
        foreach (var step in job.Execution?.Steps ?? [])
        {
            yield return new ReceiptBundleLine { Step = await client.Tasks.ReceiptAsync(job.Id, step.Id, cancellation) };
            string? cursor = null;
            do
            {
                var page = await client.Tasks.LogsAsync(job.Id, step.Id, cursor, PageSize, cancellation);
                foreach (var chunk in page.Items) yield return new ReceiptBundleLine { Log = chunk };
                cursor = page.NextCursor;
            }
            while (cursor is not null);
        }
    }

    private static async IAsyncEnumerable<ReceiptBundleLine> ReadAsync(string bundle, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var reader = new StreamReader(bundle);
        string? stepId = null;
        for (var number = 1; await reader.ReadLineAsync(cancellation) is { } text; number++)
        {
            if (text.Length == 0) continue;
            var line = Parse(text);
            stepId = line?.Step?.StepId ?? stepId;
            // A chunk of another step than the one before it would be held against that one's receipt.
            if (line is null || (line.Step is null) == (line.Log is null) || (line.Log is { } chunk && chunk.StepId != stepId))
                throw new CliException($"line {number} of {bundle} is not one that `jobs verify --save` wrote", "save the bundle again");
            yield return line;
        }
    }

    private static ReceiptBundleLine? Parse(string text)
    {
        try
        {
            return JsonSerializer.Deserialize(text, WireJson.Default.ReceiptBundleLine);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static void Tell(CliContext cli, IReadOnlyList<ReceiptResult> results)
    {
        if (results.Count == 0) cli.Out.WriteLine("not verified: there is no step, so nobody has signed anything");
        foreach (var result in results)
            cli.Out.WriteLine($"{Text.Safe(result.StepId)}: " + result.Verdict switch
            {
                ReceiptVerdict.Verified => $"verified, signed by {result.Key}",
                ReceiptVerdict.VerifiedLogPurged => $"verified, log purged, signed by {result.Key}",
                _ => $"NOT VERIFIED: {Text.Safe(result.Problem)}",
            });
    }
}
