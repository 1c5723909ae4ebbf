using Tanjiren.Agent.Assignments;
using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Idle;
using Tanjiren.Agent.Limits;
using Tanjiren.Agent.Outbox;

namespace Tanjiren.Agent.Execution;

/// <summary>What every runner needs.</summary>
internal sealed record RunnerParts(AgentOptions Options, AgentPlatform Platform, Journal Journal, ControlPlaneClient Client, SessionKeeper Sessions,
    OutboxSender Outbox, WatchdogKeeper Watchdog, StepTable Steps, string MachineId, AssignmentVerifier Assignments, AgentMetrics Metrics, TimeProvider Clock, ILogger Log)
{
    public required JobLimiter Limits { get; init; }
    public required IdleState Idle { get; init; }
    public required CodingAgentDirectory CodingAgents { get; init; }
}
