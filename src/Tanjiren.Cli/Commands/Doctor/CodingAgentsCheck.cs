using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Settings;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Which coding agents prompts can be given to: those of agent.yaml, and the known ones on the PATH. The agent has the PATH that it was started with, which may be another.</summary>
internal static class CodingAgentsCheck
{
    private const string Name = "coding agents";

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, (scene, _) => Task.FromResult(Look(scene)));

    private static Finding Look(DoctorScene scene)
    {
        var read = AgentSettingsFile.Read(scene.Cli.Home.AgentSettingsFile);
        if (read.Faults.Count > 0) return Finding.Problem(Name, $"agent.yaml can't be used: {read.Faults[0]}", "Mend it: no agent starts with it.");
        var directory = new CodingAgentDirectory(read.Settings.CodingAgents, program => ProgramSearch.Find(program, scene.Cli.Variable("PATH")) is not null);
        // Nobody needs one for commands.
        return Finding.Ok(Name, directory.Names() is { } names ? string.Join(", ", names) : "none on the PATH; commands run without");
    }
}
