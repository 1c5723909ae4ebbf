using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests;

/// <summary>A step as the fake server keeps it.</summary>
internal sealed class FakeStep
{
    public required string Id { get; init; }
    public CommandSpec? Command { get; init; }
    public TaskMode? Mode { get; init; }
    public string? PromptText { get; init; }
    public IReadOnlyList<TaskQuestion>? Questions { get; init; }
    public string? CodingAgent { get; init; }
    public string WorkingDirectory { get; init; } = "/";
    public string TaskId { get; } = Ids.New(Ids.Task, TimeProvider.System);
    public long Generation { get; set; }
    public string? ClaimId { get; set; }
    public bool Held { get; set; }
    public bool Queued { get; set; } = true;
    public bool CancelRequested { get; set; }
    public long TimeoutMs { get; set; } = 60_000;
    public CompleteRequest? Result { get; set; }
    public int Releases { get; set; }
    public ResourceSpec? Resources { get; init; }
    /// <summary>Whether a step that was handed back is offered again, as a real server does.</summary>
    public bool OfferedAgain { get; init; }
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    public IReadOnlyDictionary<string, string>? Secrets { get; init; }
    public string? TraceParent { get; init; }
    public string? TraceState { get; init; }
    public SortedDictionary<long, LogChunk> Chunks { get; } = [];
    public List<StepAnswerRequest> Answers { get; } = [];

    /// <summary>What became of its questions so far.</summary>
    public IReadOnlyList<StepAnswerRequest> Answered()
    {
        lock (Answers) return [.. Answers];
    }

    public string Output(params LogStream[] streams)
    {
        lock (Chunks)
            return string.Concat(Chunks.Values.Where(c => streams.Length == 0 || streams.Contains(c.Stream)).Select(c => System.Text.Encoding.UTF8.GetString(c.Data)));
    }
}
