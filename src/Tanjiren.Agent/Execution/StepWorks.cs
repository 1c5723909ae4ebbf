using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.Masking;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>From an assignment to what is to be done with its process.</summary>
internal static class StepWorks
{
    /// <summary>No work: this agent can't do what is asked, and why, for whoever made the task.</summary>
    /// <param name="claim">What is asked.</param>
    /// <param name="parts">Of this agent.</param>
    /// <param name="masks">Of the step; known once its environment is, which the work has a part in.</param>
    public static (IStepWork? Work, string? Unfit) Of(ClaimResponse claim, RunnerParts parts, Func<StepMasks> masks) => claim.Mode switch
    {
        null or TaskMode.Command => JobCommand.Argv(claim.Command) is { } argv ? (new CommandWork(argv), null) : (null, "The assignment names neither a program nor a shell command."),
        TaskMode.Prompt => OfPrompt(claim, parts, masks),
        _ => (null, $"This agent can't do the mode '{claim.Mode}'; update it."),
    };

    private static (IStepWork? Work, string? Unfit) OfPrompt(ClaimResponse claim, RunnerParts parts, Func<StepMasks> masks)
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
        }, PermissionsOf(claim, agent, parts, masks), parts.Options.Timeouts.CodingAgentStart), null);
    }

    /// <summary>An older server takes no questions: then nobody can be asked.</summary>
    private static IPermissionAnswers PermissionsOf(ClaimResponse claim, CodingAgent agent, RunnerParts parts, Func<StepMasks> masks) => claim.PermissionTimeoutMs is not { } timeout ? DenyPermissions.Instance
        : new LivePermissions(new PermissionAsker(claim.StepId, claim.LeaseGeneration, agent.Name, TimeSpan.FromMilliseconds(timeout)), new PermissionText(text => masks().Text(text), element => masks().Json(element)),
            parts.Client, parts.Sessions, parts.Options.Timeouts, parts.Platform.BootNowMs, parts.Clock, parts.Log);
}
