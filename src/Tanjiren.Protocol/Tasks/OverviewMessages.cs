namespace Tanjiren.Protocol;

/// <summary><c>GET /api/tasks/runtime-overview</c> (T-19): the organization at this moment.</summary>
public sealed record RuntimeOverviewBody
{
    public required DateTimeOffset At { get; init; }
    public required OpenTasksBody Open { get; init; }
    public required ThroughputBody Ended { get; init; }
    public required QueueBody Queue { get; init; }
    public required FleetBody Workers { get; init; }
}

/// <summary>Tasks that have not ended, by state.</summary>
public sealed record OpenTasksBody
{
    public required long Planned { get; init; }
    public required long Queued { get; init; }
    public required long Executing { get; init; }
}

/// <summary>Tasks that ended in the last minutes.</summary>
public sealed record ThroughputBody
{
    /// <summary>How far back this counts: 60.</summary>
    public required int WindowMinutes { get; init; }
    public required long Completed { get; init; }
    public required long Failed { get; init; }
    public required long Cancelled { get; init; }
    /// <summary>All of them, over the whole window.</summary>
    public required double PerMinute { get; init; }
}

/// <summary>Steps that wait for a claim.</summary>
public sealed record QueueBody
{
    public required long Steps { get; init; }
    /// <summary>How long the oldest has waited since it was first queued; absent: none waits.</summary>
    public long? OldestMs { get; init; }
    /// <summary>How long half of them have waited at least.</summary>
    public long? MedianMs { get; init; }
}

/// <summary>The workers of the organization.</summary>
public sealed record FleetBody
{
    public required int Total { get; init; }
    /// <summary>Nothing keeps them from being given a step.</summary>
    public required int Ready { get; init; }
    /// <summary>They run something.</summary>
    public required int Busy { get; init; }
    public required int Offline { get; init; }
    /// <summary>Steps that those who are online and not draining take at once.</summary>
    public required long Capacity { get; init; }
    /// <summary>Steps that run, stale leases included, wherever.</summary>
    public required long Active { get; init; }
}
