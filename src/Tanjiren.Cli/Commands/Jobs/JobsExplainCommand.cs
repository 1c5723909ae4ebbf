using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs explain</c>.</summary>
internal static class JobsExplainCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("JOB") { Description = "Id of the job (task_…)" };
        var command = new CliCommand("explain", "Say why a job is waiting, and which workstations are nearest to running it") { Arguments = { id } };
        var output = new OutputOptions(command, "Print the explanation as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var explanation = await client.Tasks.ExplainAsync(parse.GetValue(id)!, cancellation);
            if (!output.TryWrite(cli, parse, explanation, w => w.TaskExplanationBody, explanation.TaskId)) Show(cli, explanation);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Show(CliContext cli, TaskExplanationBody explanation)
    {
        cli.Out.WriteLine(Text.Safe(explanation.Summary));
        // The summary of one step is its sentence.
        if (explanation.Steps.Count > 1)
        {
            cli.Out.WriteLine();
            foreach (var step in explanation.Steps) cli.Out.WriteLine($"{step.StepId}  {Text.Safe(step.Sentence)}");
        }
        var waiting = explanation.Steps.FirstOrDefault(s => s.State == StepState.Queued && s.WaitingFor.Count > 0);
        if (waiting is not { Candidates.Count: > 0 }) return;
        cli.Out.WriteLine();
        var table = new TableView(cli).Columns("NEAREST", "WHAT KEEPS IT");
        foreach (var one in waiting.Candidates) table.Row(one.Name, one.Lacks.Count == 0 ? "nothing of its own" : string.Join("; ", one.Lacks));
        table.Write();
    }
}
