using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Runbooks;

/// <summary><c>runbooks update</c> and <c>archive</c>.</summary>
internal static class RunbooksUpdateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = Name();
        var file = Options.Text("--file", "FILE", "Fields to change, in JSON; - reads them from standard input");
        var status = Options.Choice("--status", "Put it to use, or take it out of use", [.. Enum.GetValues<RunbookStatus>().Select(s => Words.Of(s))]);
        var version = IfVersion("the file's, else as it is now");
        var command = new CliCommand("update", "Change a runbook")
        {
            Arguments = { name },
            Options = { file, status, version },
            Details = "Fields that the file leaves out stay; an empty text, list or object clears one. A file that `runbooks show --json` wrote names its version: if somebody has changed the runbook since, nothing is written.",
            Examples = ["tanvrit-compute runbooks show restart --json > restart.json && vi restart.json && tanvrit-compute runbooks update restart --file restart.json"],
        };
        var output = new OutputOptions(command, "Print the runbook as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var change = parse.GetValue(file) is { } path ? RunbookFile.Read(cli, path) : new UpdateRunbookRequest();
            if (parse.GetValue(status) is { } word) change = change with { Status = Enum.Parse<RunbookStatus>(word, ignoreCase: true) };
            if (change == new UpdateRunbookRequest { Version = change.Version }) throw new CliException("there is nothing to change", "give --file or --status");
            var one = await ChangeAsync(cli, server.Of(parse), parse.GetValue(name)!, change with { Version = parse.GetValue(version) ?? change.Version }, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.RunbookBody, one.Id)) cli.Say($"{Text.Safe(one.Name)} is {Words.Of(one.Status!.Value)}, version {one.Version}");
            return ExitCode.Ok;
        });
        return command;
    }

    public static CliCommand Archive(CliContext cli)
    {
        var name = Name();
        var version = IfVersion("as it is now");
        var command = new CliCommand("archive", "Take a runbook out of use")
        {
            Arguments = { name },
            Options = { version },
            Details = "Its jobs go on and keep its id. `runbooks update --status active` puts it to use again.",
        };
        var output = new OutputOptions(command, "Print the runbook as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var change = new UpdateRunbookRequest { Status = RunbookStatus.Archived, Version = parse.GetValue(version) };
            var one = await ChangeAsync(cli, server.Of(parse), parse.GetValue(name)!, change, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.RunbookBody, one.Id)) cli.Say($"{Text.Safe(one.Name)} is archived");
            return ExitCode.Ok;
        });
        return command;
    }

    private static Argument<string> Name() => new("RUNBOOK") { Description = "Name or id" };

    private static Option<int?> IfVersion(string otherwise) =>
        Options.Number("--if-version", "N", $"Only if nobody has changed it since this version (default: {otherwise})", 1, int.MaxValue);

    private static async Task<RunbookBody> ChangeAsync(CliContext cli, ServerFlags server, string name, UpdateRunbookRequest change, CancellationToken cancellation)
    {
        using var client = ClientSession.Open(cli, server);
        var version = change.Version ?? (await client.Runbooks.GetAsync(name, cancellation)).Version;
        return await client.Runbooks.UpdateAsync(name, change with { Version = version }, cancellation);
    }
}
