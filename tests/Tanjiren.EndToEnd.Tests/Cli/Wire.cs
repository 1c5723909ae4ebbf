using System.Text;

using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>Wire records with everything that a test does not care about filled in.</summary>
internal static class Wire
{
    public const string TaskId = "task_01jd0000000000000000000000";
    public const string StepA = "step_01jd000000000000000000000a";
    public const string StepB = "step_01jd000000000000000000000b";
    public static readonly DateTimeOffset Noon = new(2026, 11, 20, 12, 0, 0, TimeSpan.Zero);

    public static TaskBody Task(TaskState state, params StepBody[] steps) => new()
    {
        Id = TaskId,
        Intent = "true",
        Mode = TaskMode.Command,
        State = state,
        ApprovalStatus = ApprovalStatus.NotRequired,
        Command = new CommandSpec { Argv = ["true"] },
        Targets = new TargetSpec { Workstations = ["a"] },
        MaxParallel = 1,
        TimeoutSeconds = 60,
        QueueTimeoutSeconds = 60,
        LeaseGraceSeconds = 60,
        OnWorkerLost = OnWorkerLost.Fail,
        Priority = 0,
        Attempt = 1,
        CreatedBy = "usr_01jd0000000000000000000000",
        CreatedAt = Noon,
        Execution = new ExecutionBody { Id = "exe_01jd0000000000000000000000", ActiveSteps = 0, Steps = steps },
    };

    public static StepBody Step(StepState state, int? exitCode = null, StepReason? reason = null, string? signal = null, string id = StepA, string? name = "a",
        string? detail = null) => new()
        {
            Id = id,
            State = state,
            Reason = reason,
            ExitCode = exitCode,
            Signal = signal,
            Detail = detail,
            InstanceName = name,
            LeaseState = LeaseState.Released,
            LeaseGeneration = 2,
            Attempts = 1,
            LogBytes = 0,
            Truncated = false,
            LogsComplete = true,
        };

    public static TaskEventBody Log(string text, LogStream stream = LogStream.Stdout, string step = StepA, long seq = 1) => Log(Encoding.UTF8.GetBytes(text), stream, step, seq);

    public static TaskEventBody Log(byte[] data, LogStream stream = LogStream.Stdout, string step = StepA, long seq = 1) => new() { Log = Chunk(data, stream, step, seq) };

    public static LogChunkBody Chunk(byte[] data, LogStream stream = LogStream.Stdout, string step = StepA, long seq = 1) =>
        new() { StepId = step, LeaseGeneration = 1, Seq = seq, Stream = stream, At = Noon, Data = data };

    public static TaskEventBody Event(TaskBody task) => new() { Task = task };

    public static PermissionBody Permission(PermissionState state = PermissionState.Pending, PermissionVerdict? verdict = null) => new()
    {
        Id = "perm_01jd0000000000000000000000",
        TaskId = TaskId,
        Intent = "tidy up",
        StepId = StepA,
        LeaseGeneration = 1,
        InstanceId = "ws_01jd0000000000000000000000",
        InstanceName = "a",
        CodingAgent = "claude",
        ApprovalClass = ApprovalClass.None,
        State = state,
        Verdict = verdict,
        Tool = new PermissionTool
        {
            Kind = "execute", Title = "rm -r build\u001b[2J", Arguments = System.Text.Json.JsonDocument.Parse("""{"command":"rm -r build"}""").RootElement,
        },
        Options = [new() { Id = "always", Name = "Always", Kind = "allow_always" }, new() { Id = "yes", Name = "Yes", Kind = "allow_once" }, new() { Id = "no", Name = "No", Kind = "reject_once" }],
        AskedAt = Noon,
        ExpiresAt = Noon.AddMinutes(10),
    };

    public static InstanceBody Instance(string name, params string[] tags) => new()
    {
        Id = "ws_01jd0000000000000000000000",
        Name = name,
        Status = InstanceStatus.Online,
        Tags = tags,
        Labels = new Dictionary<string, string> { ["os"] = "linux", ["arch"] = "amd64" },
        Draining = false,
        Paired = true,
        MaxConcurrent = 4,
        ActiveSteps = 1,
        CreatedAt = Noon,
    };
}
