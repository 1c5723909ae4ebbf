using Tanjiren.Agent.Settings;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>A coding agent of this machine, ready to be started.</summary>
/// <param name="Name">As tasks name it.</param>
/// <param name="Settings">How it is started and spoken to.</param>
internal sealed record CodingAgent(string Name, CodingAgentSettings Settings);
