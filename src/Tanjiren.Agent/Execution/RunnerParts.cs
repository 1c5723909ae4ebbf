using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Outbox;

namespace Tanjiren.Agent.Execution;

/// <summary>What every runner needs.</summary>
internal sealed record RunnerParts(AgentOptions Options, AgentPlatform Platform, Journal Journal, ControlPlaneClient Client, SessionKeeper Sessions,
    OutboxSender Outbox, WatchdogKeeper Watchdog, StepTable Steps, string MachineId, AgentMetrics Metrics, CodingAgentDirectory CodingAgents, TimeProvider Clock, ILogger Log);
