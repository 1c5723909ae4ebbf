using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What a task, a step or a workstation waits for, or lacks. New ones may be added.</summary>
[JsonConverter(typeof(SnakeCaseEnum<WaitReason>))]
public enum WaitReason
{
    /// <summary>Of the task: since the server was restored from a backup, until the owner resumes.</summary>
    Held,
    /// <summary>A person has to approve it.</summary>
    Approval,
    /// <summary>The doctrine's freeze window is open.</summary>
    Frozen,
    /// <summary>As many steps of the task run as <c>maxParallel</c> allows.</summary>
    MaxParallel,
    /// <summary>No workstation, or not this one, meets the conditions of the targets.</summary>
    NoMatch,
    /// <summary>It meets the conditions, but has too little of what <c>resources</c> asks for.</summary>
    Resources,
    /// <summary>Its workstation has been removed.</summary>
    Removed,
    /// <summary>No heartbeat in the last two minutes.</summary>
    Offline,
    /// <summary>No key is bound to the workstation: it was never paired, or its key was revoked.</summary>
    Untrusted,
    /// <summary>The sign-in that the workstation was registered with has ended.</summary>
    SignedOut,
    /// <summary>It runs as many steps as it takes at once.</summary>
    AtCapacity,
    /// <summary>It finishes what it runs and takes nothing new.</summary>
    Draining,
    /// <summary>The doctrine forbids it on this workstation.</summary>
    Forbidden,
    /// <summary>Its workstation is silent; the lease waits for it until its grace is over.</summary>
    StaleLease,
    /// <summary>It runs, and its coding agent waits for a person's answer; then, or without one at that time, it goes on.</summary>
    Permission,
    /// <summary>The next attempt after a failure is made when its pause is over.</summary>
    RetryBackoff,
}

/// <summary>
/// <c>GET /api/tasks/{id}/explain</c> (W-13): why it is waiting, by the same rules as the claim. True of the moment of the question; nothing is promised by it.
/// </summary>
public sealed record TaskExplanationBody
{
    public required string TaskId { get; init; }
    public required TaskState State { get; init; }
    /// <summary>One sentence about the whole.</summary>
    public required string Summary { get; init; }
    /// <summary>What the whole task waits for. Empty while only steps of it wait, or nothing does.</summary>
    public required IReadOnlyList<WaitReason> WaitingFor { get; init; }
    /// <summary>When that is over by itself, where that is known.</summary>
    public DateTimeOffset? Until { get; init; }
    /// <summary>In their order. None while the task is planned.</summary>
    public required IReadOnlyList<StepExplanationBody> Steps { get; init; }
}

public sealed record StepExplanationBody
{
    public required string StepId { get; init; }
    public required StepState State { get; init; }
    /// <summary>One sentence: what it waits for, where it runs, or how it ended.</summary>
    public required string Sentence { get; init; }
    /// <summary>Empty: a claim would succeed now, or the step waits for nothing any more.</summary>
    public required IReadOnlyList<WaitReason> WaitingFor { get; init; }
    /// <summary>When the first of these is over by itself, where that is known.</summary>
    public DateTimeOffset? Until { get; init; }
    /// <summary>Of a queued step: the workstations that are nearest to running it, at most five, the nearest first.</summary>
    public required IReadOnlyList<CandidateBody> Candidates { get; init; }
}

/// <summary>A workstation, as a candidate for one step.</summary>
public sealed record CandidateBody
{
    public required string InstanceId { get; init; }
    public required string Name { get; init; }
    /// <summary>What keeps the step from this one, besides what keeps it from all; the doctrine is asked only where nothing else keeps it.</summary>
    public required IReadOnlyList<WaitReason> WaitingFor { get; init; }
    /// <summary>The same for people, each a phrase to put after the name: "lacks the tag gpu", "is offline since 2026-11-21T10:00:00Z".</summary>
    public required IReadOnlyList<string> Lacks { get; init; }
}
