using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Investigations;

/// <summary><c>investigations update</c> and <c>close</c>.</summary>
internal static class InvestigationsUpdateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = Id();
        var title = Options.Text("--title", "TEXT", "What it is called");
        var objective = Options.Text("--objective", "TEXT", "What shall be found out; - reads it from standard input, an empty text clears it");
        var hypothesis = Options.Text("--hypothesis", "TEXT", "What is thought to be so; - reads it from standard input, an empty text clears it");
        var findings = Options.Text("--findings", "TEXT", "What was found; - reads it from standard input, an empty text clears it");
        var reopen = Options.Flag("--reopen", "Open a closed one again");
        var version = IfVersion();
        var command = new CliCommand("update", "Change an investigation") { Arguments = { id }, Options = { title, objective, hypothesis, findings, reopen, version } };
        var output = new OutputOptions(command, "Print the investigation as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var input = new StandardInput(cli);
            var change = new UpdateInvestigationRequest
            {
                Title = parse.GetValue(title), Objective = input.Text(parse.GetValue(objective)), Hypothesis = input.Text(parse.GetValue(hypothesis)),
                Findings = input.Text(parse.GetValue(findings)), Status = parse.GetValue(reopen) ? InvestigationStatus.Open : null, Version = parse.GetValue(version),
            };
            if (change == new UpdateInvestigationRequest { Version = change.Version }) throw new CliException("there is nothing to change", "give --title, --objective, --hypothesis, --findings or --reopen");
            return await ChangeAsync(cli, server.Of(parse), parse.GetValue(id)!, change, one => { if (!output.TryWrite(cli, parse, one, w => w.InvestigationBody, one.Id)) cli.Say($"{one.Id} is version {one.Version} now"); }, cancellation);
        });
        return command;
    }

    public static CliCommand Close(CliContext cli)
    {
        var id = Id();
        var findings = Options.Text("--findings", "TEXT", "What was found; - reads it from standard input");
        var version = IfVersion();
        var command = new CliCommand("close", "Close an investigation: it takes no further jobs")
        {
            Arguments = { id },
            Options = { findings, version },
            Details = "What belongs to it stays, and artifacts may still be attached. `investigations update --reopen` opens it again.",
        };
        var output = new OutputOptions(command, "Print the investigation as JSON");
        var server = new ServerOptions(command);
        command.SetAction((parse, cancellation) =>
        {
            var change = new UpdateInvestigationRequest { Findings = new StandardInput(cli).Text(parse.GetValue(findings)), Status = InvestigationStatus.Closed, Version = parse.GetValue(version) };
            return ChangeAsync(cli, server.Of(parse), parse.GetValue(id)!, change, one => { if (!output.TryWrite(cli, parse, one, w => w.InvestigationBody, one.Id)) cli.Say($"{one.Id} is closed"); }, cancellation);
        });
        return command;
    }

    private static Argument<string> Id() => new("INVESTIGATION") { Description = "Id of the investigation (ivg_…)" };

    private static Option<int?> IfVersion() => Options.Number("--if-version", "N", "Only if nobody has changed it since this version (default: as it is now)", 1, int.MaxValue);

    private static async Task<int> ChangeAsync(CliContext cli, Settings.ServerFlags server, string id, UpdateInvestigationRequest change, Action<InvestigationBody> print, CancellationToken cancellation)
    {
        using var client = ClientSession.Open(cli, server);
        var version = change.Version ?? (await client.Investigations.GetAsync(id, cancellation)).Version;
        print(await client.Investigations.UpdateAsync(id, change with { Version = version }, cancellation));
        return ExitCode.Ok;
    }
}
