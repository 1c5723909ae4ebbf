using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs show</c>.</summary>
internal static class JobsShowCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("JOB") { Description = "Id of the job (task_…)" };
        var command = new CliCommand("show", "Show a job and its steps") { Arguments = { id } };
        var output = new OutputOptions(command, "Print the job as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var job = await client.Tasks.GetAsync(parse.GetValue(id)!, cancellation);
            if (!output.TryWrite(cli, parse, job, w => w.TaskBody, job.Id)) Show(cli, job);
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Show(CliContext cli, TaskBody job)
    {
        var command = job.Command is null ? null : Words.Command(job.Command);
        new FieldList()
            .Add("id", job.Id)
            .Add("intent", job.Intent)
            .Add("state", Words.Of(job.State) + (job.CancelRequestedAt is not null && !JobExit.IsTerminal(job.State) ? ", being cancelled" : ""))
            .Add("approval", Approval(cli, job))
            .Add("frozen until", job.FrozenUntil is null ? null : Text.Instant(job.FrozenUntil, cli.Clock))
            .Add("held", job.Held ? "since the server was restored from a backup; `jobs resume` lets it go on" : null)
            .Add("command", command == job.Intent ? null : command)
            .Add("prompt", job.PromptText == job.Intent ? null : job.PromptText)
            .Add("questions", job.Questions is null || job.Execution is { Steps.Count: > 0 } ? null : string.Join(" · ", job.Questions.Select(q => $"{q.Name}: {q.Text}")))
            .Add("coding agent", job.CodingAgent)
            .Add("waits for", job.Permissions is { Count: > 0 } asked ? string.Join("; ", asked.Select(p => $"{PermissionWords.Of(p.Tool)} (`tanvrit-compute jobs answer {p.Id}`)")) : null)
            .Add("directory", job.WorkingDirectory)
            .Add("environment", string.Join(", ", (job.Environment?.Keys ?? []).Concat((job.EnvironmentFromMachine ?? []).Select(n => $"{n} (the workstation's)"))))
            .Add("secrets", job.SecretNames is null ? null : string.Join(", ", job.SecretNames))
            .Add("parallel", job.MaxParallel == 0 ? "all steps at once" : $"{job.MaxParallel} at a time")
            .Add("timeout", Text.Duration(TimeSpan.FromSeconds(job.TimeoutSeconds)))
            .Add("worker lost", $"{Words.Of(job.OnWorkerLost)}, after {Text.Duration(TimeSpan.FromSeconds(job.LeaseGraceSeconds))} of grace")
            .Add("created", $"{Text.Instant(job.CreatedAt, cli.Clock)} by {job.CreatedBy}")
            .Add("started", job.StartedAt is null ? null : Text.Instant(job.StartedAt, cli.Clock))
            .Add("ended", job.EndedAt is null ? null : Text.Instant(job.EndedAt, cli.Clock))
            .Add("outcome", job.OutcomeSummary)
            .Add("attempt", job.Attempt == 1 && job.Retry is null ? null : $"{job.Attempt}{(job.Retry is { } retry ? $" of {retry.MaxAttempts}" : "")}")
            .Add("retry of", job.RetryOfTaskId)
            .Add("retried by", job.RetriedByTaskId)
            .Add("next attempt", job.RetryDueAt is null ? null : Text.Instant(job.RetryDueAt, cli.Clock))
            .Add("schedule", job.ScheduleId)
            .Add("output", job.LogsDeletedAt is null ? null : $"deleted by age {Text.Instant(job.LogsDeletedAt, cli.Clock)}")
            .Add("trace", job.TraceId)
            .Add("runbook", job.RunbookId)
            .Add("investigation", job.InvestigationId)
            .Write(cli.Out);
        if (job.Execution is not { Steps.Count: > 0 } execution) return;
        cli.Out.WriteLine();
        var table = new TableView(cli).Columns("STEP", "WORKSTATION", "STATE", "RESULT", "TOOK", "OUTPUT", "ATTEMPTS");
        foreach (var step in execution.Steps)
            table.Row(step.Id, step.InstanceName ?? "-", Words.Cell(step.State), Result(step),
                step.DurationMs is { } ms ? Text.Duration(TimeSpan.FromMilliseconds(ms)) : "-",
                Text.Bytes(step.LogBytes) + (step.Truncated ? ", cut" : "") + (step.EndedAt is not null && !step.LogsComplete ? ", more to come" : ""),
                step.Attempts.ToString());
        table.Write();
        if (job.Questions is { } questions)
        {
            foreach (var step in execution.Steps.Where(s => s.Answers is not null || s.ClaimedAt is not null)) ShowAnswers(cli, questions, step);
            return;
        }
        foreach (var step in execution.Steps.Where(s => s.Response is not null || s.ResponseLeftOut == true || s.Usage is not null)) ShowResponse(cli, step);
    }

    private static void ShowAnswers(CliContext cli, IReadOnlyList<TaskQuestion> questions, StepBody step)
    {
        cli.Out.WriteLine();
        cli.Out.WriteLine($"answers of {Text.Safe(step.InstanceName ?? step.Id)}{Cost(step)}:");
        foreach (var question in questions)
        {
            cli.Out.WriteLine($"{question.Name}: {Text.Safe(question.Text)}");
            foreach (var line in AnswerWords.Lines(step.Answers?.FirstOrDefault(a => a.Question == question.Name))) cli.Out.WriteLine("  " + line);
        }
    }

    private static void ShowResponse(CliContext cli, StepBody step)
    {
        cli.Out.WriteLine();
        cli.Out.WriteLine($"response of {Text.Safe(step.InstanceName ?? step.Id)}{Cost(step)}:");
        if (step.ResponseLeftOut == true) cli.Out.WriteLine("(too much to show with the others: `jobs logs` has it)");
        foreach (var line in (step.Response ?? "").TrimEnd().Split('\n')) cli.Out.WriteLine(Text.Safe(line));
    }

    private static string Cost(StepBody step) => step.Usage is { } usage && Words.Of(usage) is { Length: > 0 } cost ? $" ({cost})" : "";

    private static string? Approval(CliContext cli, TaskBody job)
    {
        if (job.Approvals is not [.., var newest]) return null;
        var who = newest.State switch
        {
            ApprovalState.Pending => $", until {Text.Instant(newest.ExpiresAt, cli.Clock)}; `tanvrit-compute jobs approve {job.Id} --approval {newest.Id}`",
            ApprovalState.Approved => $" by {newest.DecidedBy}; must start by {Text.Instant(newest.ExpiresAt, cli.Clock)}",
            ApprovalState.Consumed or ApprovalState.Rejected => $" by {newest.DecidedBy}",
            _ => "",
        };
        return $"{Words.Of(newest.State)}{(newest.SelfApproved ? " (own)" : "")}{(newest.InheritedFrom is null ? "" : " (inherited)")}{who} ({Words.Of(newest.Class)}: {ApprovalNotice.Because(newest)}){(newest.Reason is null ? "" : $": {newest.Reason}")}";
    }

    private static string Result(StepBody step) => step.State switch
    {
        StepState.Queued => "-",
        StepState.Running => step.LeaseState == LeaseState.Stale ? "silent" : "-",
        StepState.Succeeded => "exit code 0",
        _ => EndReport.Describe(step),
    };
}
