using System.Diagnostics;

using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>The span of a command that runs a job: the root of its trace, or a part of the trace that <c>TRACEPARENT</c> names, as a CI job sets it.</summary>
internal static class JobTrace
{
    public const string SourceName = "Tanjiren.Cli";

    public static readonly ActivitySource Source = new(SourceName);

    /// <summary>Everything that is asked of the server until it is disposed carries it.</summary>
    public static Activity Start(CliContext cli) => TraceContext.Start(Source, "jobs run",
        TraceContext.Parse(cli.Variable(TraceContext.ParentVariable), cli.Variable(TraceContext.StateVariable)), ActivityKind.Client);

    public static void Created(Activity span, TaskBody task) => span.SetTag(Cicd.RunId, task.Id);

    public static void Ended(Activity span, TaskBody task, int exitCode)
    {
        span.SetTag("process.exit.code", exitCode);
        if (task.State == TaskState.Failed) span.SetStatus(ActivityStatusCode.Error);
    }
}
