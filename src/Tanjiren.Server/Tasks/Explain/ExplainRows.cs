using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks.Explain;

/// <summary>A task with what the rules of a start know of it.</summary>
internal sealed record ExplainedTask : TaskRow
{
    public string? ActionHash { get; init; }
    public string? ActorRole { get; init; }
    public int MaxParallel { get; init; }
    public bool NotHeld { get; init; }
    public bool NotFrozen { get; init; }
    public bool HasPlace { get; init; }

    public TaskState ParsedState => WireNames.Parse<TaskState>(State);

    public StartSubject SubjectAt(long now) => new(Id, OrganizationId, ParseSpec(), Origin, ActorRole is { } role ? Enum.Parse<Role>(role, ignoreCase: true) : null, DoctrineVersion, ActionHash ?? "", now);

    private TaskOrigin Origin => new()
    {
        ScheduleId = ScheduleId, ScheduleTickAt = ScheduleTickAt, RunbookId = RunbookId, InvestigationId = InvestigationId,
        RetryOfTaskId = RetryOfTaskId, RootTaskId = RootTaskId, Attempt = Attempt, ByPerson = ByPerson != 0 || ChangedBy is not null,
    };
}

/// <summary>A step, with the name of its target or latest claimer.</summary>
internal sealed record ExplainedStep
{
    public string Id { get; init; } = "";
    public string State { get; init; } = "";
    public string? TargetInstanceId { get; init; }
    public string? Canonical { get; init; }
    public string? Reason { get; init; }
    public int? ExitCode { get; init; }
    public int ApprovalFrom { get; init; }
    public string OnWorkerLost { get; init; } = "";
    public long? ClaimedAt { get; init; }
    public string LeaseState { get; init; } = "";
    /// <summary>Milliseconds until the lease has run out, and until its grace is over; negative: since.</summary>
    public long? LeaseLeftMs { get; init; }
    public long? GraceLeftMs { get; init; }
    public long? CancelRequestedAt { get; init; }
    public long? EndedAt { get; init; }
    public string? InstanceName { get; init; }
    /// <summary>When the question of its coding agent that has waited longest is denied; null: none waits.</summary>
    public long? AskedUntil { get; init; }
    /// <summary>What <see cref="StartRules.ApprovedSql"/> says.</summary>
    public bool Approved { get; init; }

    public bool IsStale => State == "running" && LeaseState == "stale";

    public DateTimeOffset LeaseEnds(DateTimeOffset now) => now.AddMilliseconds(LeaseLeftMs ?? 0);

    public DateTimeOffset GraceEnds(DateTimeOffset now) => now.AddMilliseconds(GraceLeftMs ?? 0);
}

/// <summary>The doctrine refused the step to this machine a moment ago.</summary>
internal sealed record ExplainedHold
{
    public string StepId { get; init; } = "";
    public string InstanceId { get; init; } = "";
    public long HeldUntil { get; init; }
    public int Forbidden { get; init; }
}

/// <summary>One thing that is waited for, as a phrase, and when it is over by itself.</summary>
internal readonly record struct Wait(WaitReason Reason, string Phrase, DateTimeOffset? Until = null);

/// <summary>What keeps one step from one machine.</summary>
internal sealed record MachineCase(Workstations.InstanceRow Machine, Workstations.WorkerRank Rank, int UnmetConditions, IReadOnlyList<Wait> Waits, ExplainedHold? Hold = null)
{
    public bool IsFree => Waits.Count == 0;

    /// <summary>Nothing but that the doctrine refused it a moment ago.</summary>
    public bool IsOnlyHeld => Hold is not null && Waits.Count == 1;

    public CandidateBody ToBody() => new()
    {
        InstanceId = Machine.Id, Name = Machine.Name, WaitingFor = [.. Waits.Select(w => w.Reason).Distinct()], Lacks = [.. Waits.Select(w => w.Phrase)],
    };
}
