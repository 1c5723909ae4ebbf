using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>
/// The coding agents of this machine: those of <c>agent.yaml</c>, and besides them the known ones that stand on PATH. Looked up whenever it is asked, a few dozen looks at
/// the file system: what is installed while the agent runs is there with the next heartbeat. A name of <c>agent.yaml</c> takes the place of the known one.
/// </summary>
internal sealed class CodingAgentDirectory(IReadOnlyDictionary<string, CodingAgentSettings> configured, Func<string, bool> canStart)
{
    /// <summary>In the order in which a machine prefers them when a task names none. Of two commands for one name the first that is there.</summary>
    private static readonly (string Name, string[] Command)[] Known =
    [
        ("claude", ["claude-agent-acp"]),
        ("claude", ["claude-code-acp"]),
        ("codex", ["codex-acp"]),
        ("opencode", ["opencode", "acp"]),
        ("gemini", ["gemini", "--acp"]),
        ("qwen", ["qwen", "--acp"]),
    ];

    public static CodingAgentDirectory OfThisMachine(AgentSettings settings) => new(settings.CodingAgents, program => ProgramSearch.Find(program, Environment.GetEnvironmentVariable("PATH")) is not null);

    /// <summary>Those that can be started now, the preferred ones first; null when there is none.</summary>
    public IReadOnlyList<string>? Names() => All() is { Count: > 0 } all ? [.. all.Take(WireLimits.MaxCodingAgents).Select(a => a.Name)] : null;

    /// <summary>The one of this name, or the first when none is named; null: it is not here.</summary>
    /// <param name="name">As a task names it.</param>
    /// <param name="converses">Only one that can be spoken to more than once.</param>
    public CodingAgent? Find(string? name, bool converses = false) =>
        All().FirstOrDefault(a => (name is null || a.Name == name) && (!converses || a.Settings.Protocol == CodingAgentProtocol.Acp));

    private List<CodingAgent> All()
    {
        var found = new List<CodingAgent>();
        foreach (var (name, command) in Known)
        {
            if (found.Exists(a => a.Name == name)) continue;
            var settings = configured.GetValueOrDefault(name) ?? new CodingAgentSettings { Command = command };
            if (IsThere(settings)) found.Add(new CodingAgent(name, settings));
        }
        foreach (var (name, settings) in configured.OrderBy(c => c.Key, StringComparer.Ordinal))
            if (CodingAgentName.IsValid(name) && !found.Exists(a => a.Name == name) && IsThere(settings)) found.Add(new CodingAgent(name, settings));
        return found;
    }

    private bool IsThere(CodingAgentSettings settings) => settings.Command.Count > 0 && canStart(settings.Command[0]);
}
