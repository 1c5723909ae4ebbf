namespace Tanjiren.Protocol;

/// <summary><c>GET /api/status</c>: the server and every loop in it.</summary>
public sealed record StatusBody
{
    public required string Version { get; init; }
    public required string Database { get; init; }
    public required DateTimeOffset ServerTime { get; init; }
    public required IReadOnlyList<LoopStatus> Loops { get; init; }
}

public sealed record LoopStatus
{
    public required string Name { get; init; }
    /// <summary>End of the last pass that went through.</summary>
    public DateTimeOffset? LastRunAt { get; init; }
    /// <summary>Of the last pass, whether it failed or not.</summary>
    public double? LastDurationMs { get; init; }
    /// <summary>When the next pass is due; absent for loops that wait for something to happen.</summary>
    public DateTimeOffset? NextRunAt { get; init; }
    public string? LastError { get; init; }
    public required long Runs { get; init; }
    /// <summary>Passes that failed; each was logged and tried again.</summary>
    public required long Errors { get; init; }
    /// <summary>What the loop did since the start, by name.</summary>
    public required IReadOnlyDictionary<string, long> Counters { get; init; }
}
