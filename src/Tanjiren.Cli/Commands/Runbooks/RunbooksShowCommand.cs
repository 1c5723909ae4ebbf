using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Runbooks;

/// <summary><c>runbooks show</c>.</summary>
internal static class RunbooksShowCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("RUNBOOK") { Description = "Name or id" };
        var command = new CliCommand("show", "Show a runbook") { Arguments = { name }, Details = "--json prints what `runbooks update --file` takes." };
        var output = new OutputOptions(command, "Print the runbook as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Runbooks.GetAsync(parse.GetValue(name)!, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.RunbookBody, one.Id)) Show(cli, one);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Show(CliContext cli, RunbookBody one)
    {
        new FieldList()
            .Add("id", one.Id)
            .Add("name", one.Name)
            .Add("status", Words.Of(one.Status ?? RunbookStatus.Draft))
            .Add("intent", one.IntentTemplate)
            .Add("mode", Words.Of(one.Mode ?? TaskMode.Command))
            .Add("command", one.Command is null ? null : Words.Command(one.Command))
            .Add("prompt", one.PromptText)
            .Add("approval", one.ApprovalClass is null or ApprovalClass.None ? null : Words.Of(one.ApprovalClass.Value))
            .Add("plan", one.DefaultPlan)
            .Add("success", one.SuccessCriteria)
            .Add("created", $"{Text.Instant(one.CreatedAt, cli.Clock)} by {one.CreatedBy}")
            .Add("changed", $"{Text.Instant(one.UpdatedAt, cli.Clock)}, version {one.Version}")
            .Write(cli.Out);
        if (one.Parameters is not { Count: > 0 } parameters) return;
        cli.Out.WriteLine();
        var table = new TableView(cli).Columns("PARAMETER", "DEFAULT", "DESCRIPTION");
        foreach (var parameter in parameters) table.Row(parameter.Name, parameter.Default ?? "(must be given)", parameter.Description ?? "-");
        table.Write();
    }
}
