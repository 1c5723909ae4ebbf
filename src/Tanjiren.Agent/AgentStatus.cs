namespace Tanjiren.Agent;

/// <summary>What <c>agent status</c> shows (<c>status.json</c>), written by the running agent at most once a second, every five seconds while nothing runs, with each heartbeat while it is suspended.</summary>
public sealed record AgentStatus
{
    public required int ProcessId { get; init; }
    public required string AgentVersion { get; init; }
    public required string ServerUrl { get; init; }
    public required string InstanceId { get; init; }
    public required string InstanceName { get; init; }
    public required string OrganizationName { get; init; }
    public required DateTimeOffset StartedAt { get; init; }
    public required DateTimeOffset WrittenAt { get; init; }
    /// <summary>Whether the last request to the server was answered.</summary>
    public required bool Connected { get; init; }
    public string? SessionId { get; init; }
    public DateTimeOffset? LastHeartbeatAt { get; init; }
    public required bool Draining { get; init; }
    public required int MaxConcurrent { get; init; }
    /// <summary>A suspended agent has none.</summary>
    public required bool WatchdogAlive { get; init; }
    /// <summary>Since when it is suspended for want of work; absent while it is not.</summary>
    public DateTimeOffset? SuspendedSince { get; init; }
    public required IReadOnlyList<AgentStepStatus> Steps { get; init; }
    /// <summary>Output on disk that the server has not taken yet, in bytes.</summary>
    public required long OutboxBytes { get; init; }
    /// <summary>What a person should know: a wrong clock, an identity in use, a sign-in that has ended, a full disk, a new key that waits.</summary>
    public string? Notice { get; init; }

    /// <summary>The last status written in <paramref name="home"/>, or null. Whether that agent still lives is for the caller to judge: <see cref="IsRunning"/>.</summary>
    public static AgentStatus? Load(string home) => AgentHome.Read(Path.Combine(home, "status.json"), AgentJson.Default.AgentStatus);

    /// <summary>Whether an agent runs on <paramref name="home"/> now: it holds the lock.</summary>
    public static bool IsRunning(string home)
    {
        if (!Directory.Exists(home)) return false;
        using var held = new AgentHome(home).TryLock();
        return held is null;
    }
}

public sealed record AgentStepStatus
{
    public required string StepId { get; init; }
    public required string TaskId { get; init; }
    /// <summary>claimed, running, exited or uploading.</summary>
    public required string Phase { get; init; }
    public int? ProcessId { get; init; }
}
