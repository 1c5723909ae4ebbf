using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>From an assignment to what is to be done with its process.</summary>
internal static class StepWorks
{
    /// <summary>No work: this agent can't do what is asked, and why, for whoever made the task.</summary>
    public static (IStepWork? Work, string? Unfit) Of(ClaimResponse claim, RunnerParts parts) => claim.Mode switch
    {
        null or TaskMode.Command => JobCommand.Argv(claim.Command) is { } argv ? (new CommandWork(argv), null) : (null, "The assignment names neither a program nor a shell command."),
        TaskMode.Prompt => OfPrompt(claim, parts),
        _ => (null, $"This agent can't do the mode '{claim.Mode}'; update it."),
    };

    private static (IStepWork? Work, string? Unfit) OfPrompt(ClaimResponse claim, RunnerParts parts)
    {
        if (string.IsNullOrWhiteSpace(claim.PromptText)) return (null, "The assignment names no prompt.");
        if (parts.CodingAgents.Find(claim.CodingAgent) is not { } agent)
            return (null, claim.CodingAgent is { } name ? $"This machine has no coding agent '{name}'." : "This machine has no coding agent.");
        if (agent.Settings.Protocol == CodingAgentProtocol.Stdin) return (new StdinWork(agent, claim.PromptText), null);
        return (new PromptWork(agent, new PromptRequest
        {
            Text = claim.PromptText,
            Directory = claim.WorkingDirectory ?? JobCommand.HomeDirectory() ?? Environment.CurrentDirectory,
            ClientVersion = parts.Options.AgentVersion,
        }, PermissionsOf(claim, agent, parts), parts.Options.Timeouts.CodingAgentStart), null);
    }

    /// <summary>An older server takes no questions: then nobody can be asked.</summary>
    private static IPermissionAnswers PermissionsOf(ClaimResponse claim, CodingAgent agent, RunnerParts parts) => claim.PermissionTimeoutMs is not { } timeout ? DenyPermissions.Instance
        : new LivePermissions(new PermissionAsker(claim.StepId, claim.LeaseGeneration, agent.Name, TimeSpan.FromMilliseconds(timeout)), PermissionText.Plain,
            parts.Client, parts.Sessions, parts.Options.Timeouts, parts.Platform.BootNowMs, parts.Clock, parts.Log);
}
