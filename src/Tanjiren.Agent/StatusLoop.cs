using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Idle;

namespace Tanjiren.Agent;

/// <summary>The status loop: keeps <c>status.json</c> fresh for <c>agent status</c>. Only a view: nothing reads it to decide.</summary>
internal sealed partial class StatusLoop(AgentHome home, AgentOptions options, AgentIdentity identity, RunnerParts parts, HeartbeatLoop heartbeat,
    SessionLoop sessionLoop, KeyRotationLoop keyRotation, TimeProvider clock, ILogger log)
{
    private const int IdleTicks = 5;

    private readonly DateTimeOffset startedAt = clock.GetUtcNow();
    private AgentStatus? written;
    private bool troubled;

    public async Task RunAsync(CancellationToken ct)
    {
        while (true)
        {
            RunOnce(Now(running: true));
            await Task.Delay(options.Timeouts.StatusWrite, clock, ct);
            if (parts.Idle.Phase == IdlePhase.Suspended) await parts.Idle.BeatAsync(ct);
            else if (parts.Steps.Active == 0) await IdleAsync(ct);
        }
    }

    /// <summary>An agent with nothing to do wakes its machine seldom: until a step comes, for a few ticks at most.</summary>
    private async Task IdleAsync(CancellationToken ct)
    {
        using var ticks = new CancellationTokenSource(options.Timeouts.StatusWrite * (IdleTicks - 1), clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, ticks.Token);
        await parts.Steps.WaitAsync(steps => steps.Active > 0, either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        ct.ThrowIfCancellationRequested();
    }

    /// <summary>The last word: not connected, nothing runs.</summary>
    public void WriteLast() => RunOnce(Now(running: false));

    private void RunOnce(AgentStatus status)
    {
        if (written is not null && Same(written, status)) return;
        try
        {
            AgentHome.Replace(home.Status, status, AgentJson.Default.AgentStatus, durable: false);
            (written, troubled) = (status, false);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (!troubled) LogNotWritten(home.Status, e.Message);
            troubled = true;
        }
    }

    private AgentStatus Now(bool running) => new()
    {
        ProcessId = Environment.ProcessId,
        AgentVersion = options.AgentVersion,
        ServerUrl = identity.ServerUrl,
        InstanceId = identity.InstanceId,
        InstanceName = identity.InstanceName,
        OrganizationName = identity.OrganizationName,
        StartedAt = startedAt,
        WrittenAt = clock.GetUtcNow(),
        Connected = running && parts.Client.Connected,
        SessionId = running ? parts.Sessions.Current : null,
        LastHeartbeatAt = heartbeat.LastBeatAt,
        Draining = parts.Steps.Draining,
        MaxConcurrent = options.MaxConcurrent,
        WatchdogAlive = running && parts.Watchdog.IsAlive,
        SuspendedSince = running ? parts.Idle.Since : null,
        Steps = [.. parts.Steps.All.Select(r => new AgentStepStatus { StepId = r.StepId, TaskId = r.TaskId, Phase = r.Phase.ToString().ToLowerInvariant(), ProcessId = r.Pid })],
        OutboxBytes = parts.Outbox.Budget.Used,
        Notice = parts.Client.ClockNotice ?? sessionLoop.Notice ?? parts.Sessions.SignIn.Notice ?? keyRotation.Notice,
    };

    private static bool Same(AgentStatus a, AgentStatus b) =>
        a with { WrittenAt = b.WrittenAt, Steps = b.Steps } == b && a.Steps.SequenceEqual(b.Steps);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The status in '{Path}' cannot be written: {Reason}")]
    private partial void LogNotWritten(string path, string reason);
}
