using Tanjiren.Cli.Hosting;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Which coding agents are on the PATH. The agent has the PATH that it was started with, which may be another.</summary>
internal static class CodingAgentsCheck
{
    private const string Name = "coding agents";
    /// <summary>Programs that speak the Agent Client Protocol.</summary>
    private static readonly string[] Known = ["claude-agent-acp", "claude-code-acp", "codex-acp", "opencode", "gemini", "qwen"];

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, (scene, _) => Task.FromResult(Look(scene)));

    private static Finding Look(DoctorScene scene)
    {
        var found = Known.Where(name => Programs.Find(name, scene.Cli.Variable("PATH")) is not null).ToList();
        // Nobody needs one for commands.
        return Finding.Ok(Name, found.Count == 0 ? "none on the PATH; commands run without" : string.Join(", ", found));
    }
}
