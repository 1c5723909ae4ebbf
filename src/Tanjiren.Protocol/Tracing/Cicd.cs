using System.Text.Json;

namespace Tanjiren.Protocol;

/// <summary>
/// The words of the OpenTelemetry semantic conventions for CI/CD that fit: a task is a pipeline run, a step a task run, a workstation a worker. The pipeline's
/// name is the task's mode: an intent is free text, and would make a series of its own for each job.
/// </summary>
public static class Cicd
{
    public const string PipelineName = "cicd.pipeline.name";
    public const string PipelineResult = "cicd.pipeline.result";
    public const string RunId = "cicd.pipeline.run.id";
    public const string RunState = "cicd.pipeline.run.state";
    public const string TaskName = "cicd.pipeline.task.name";
    public const string TaskRunId = "cicd.pipeline.task.run.id";
    public const string TaskRunResult = "cicd.pipeline.task.run.result";
    public const string WorkerState = "cicd.worker.state";
    public const string Component = "cicd.system.component";
    public const string ErrorType = "error.type";

    public const string Success = "success";
    public const string Failure = "failure";
    public const string Timeout = "timeout";
    public const string Error = "error";
    public const string Cancellation = "cancellation";
    public const string Skip = "skip";

    /// <summary>How a step ended. <c>failure</c> is the job's own, <c>error</c> is ours: a worker lost, an outcome that nobody saw.</summary>
    public static string ResultOf(StepOutcome outcome, StepReason? reason) => (outcome, reason) switch
    {
        (StepOutcome.Succeeded, _) => Success,
        (StepOutcome.Cancelled, StepReason.RolloutStopped) => Skip,
        (StepOutcome.Cancelled, _) => Cancellation,
        (_, StepReason.Timeout or StepReason.QueueTimeout) => Timeout,
        (_, StepReason.WorkerLost or StepReason.UnknownOutcome or StepReason.WorkstationRemoved or StepReason.RejectedByAgent or StepReason.SecretsLost) => Error,
        _ => Failure,
    };

    /// <summary>For <see cref="ErrorType"/>: the reason as the wire has it.</summary>
    public static string ErrorOf(StepReason? reason) =>
        reason is { } known ? JsonSerializer.SerializeToElement(known, WireJson.Default.StepReason).GetString()! : "_OTHER";

    public static bool IsFailed(string result) => result is Failure or Timeout or Error;
}
