using Tanjiren.Agent.Settings;
using Tanjiren.Cli.Output;

namespace Tanjiren.Cli.Hosting;

/// <summary><c>agent.yaml</c> for the commands that start an agent. What is wrong in it is printed, and nothing may start: a cap that is not understood would be no cap.</summary>
internal static class OwnerSettings
{
    /// <summary>Null: it can't be used, and why is said.</summary>
    public static AgentSettings? Read(CliContext cli)
    {
        var read = AgentSettingsFile.Read(cli.Home.AgentSettingsFile);
        foreach (var warning in read.Warnings) cli.Say($"warning: {Text.Safe(warning.ToString())}");
        foreach (var fault in read.Faults) cli.Say($"error: {Text.Safe(fault.ToString())}");
        return read.Faults.Count == 0 ? read.Settings : null;
    }
}
