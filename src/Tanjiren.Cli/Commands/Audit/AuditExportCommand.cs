using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Audit;

/// <summary><c>audit export</c>.</summary>
internal static class AuditExportCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var file = Options.Text("--out", "FILE", "Write to this file instead of standard output; it appears when it is whole");
        var command = new CliCommand("export", "Export the whole audit log, sealed, as JSON Lines")
        {
            Options = { file },
            Details = "For admins. The first line is the signed checkpoint that the chain starts from, the last its signed head; every row is between them. `audit verify` checks it, on any machine.",
            Examples = ["tanvrit-compute audit export --out audit.jsonl", "tanvrit-compute audit export | jq 'select(.action == \"task.created\")'"],
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            await using var export = await client.Audit.ExportAsync(cancellation);
            if (parse.GetValue(file) is not { } path)
            {
                await export.CopyToAsync(cli.Output, cancellation);
                return ExitCode.Ok;
            }
            var unfinished = path + ".unfinished";
            try
            {
                await using (var target = File.Create(unfinished)) await export.CopyToAsync(target, cancellation);
                File.Move(unfinished, path, overwrite: true);
            }
            finally
            {
                File.Delete(unfinished);
            }
            cli.Say($"exported to {Text.Safe(path)}; `tanvrit-compute audit verify {Text.Safe(path)}` checks it");
            return ExitCode.Ok;
        });
        return command;
    }
}
