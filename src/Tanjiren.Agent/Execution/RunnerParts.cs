using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Idle;
using Tanjiren.Agent.Outbox;

namespace Tanjiren.Agent.Execution;

/// <summary>What every runner needs.</summary>
internal sealed record RunnerParts(AgentOptions Options, AgentPlatform Platform, Journal Journal, ControlPlaneClient Client, SessionKeeper Sessions,
    OutboxSender Outbox, WatchdogKeeper Watchdog, StepTable Steps, IdleState Idle, string MachineId, AgentMetrics Metrics, TimeProvider Clock, ILogger Log);
