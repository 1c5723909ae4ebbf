using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.CodingAgents.Questions;
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
        TaskMode.Investigate => OfQuestions(claim, parts, masks),
        _ => (null, $"This agent can't do the mode '{claim.Mode}'; update it."),
    };

    private static (IStepWork? Work, string? Unfit) OfPrompt(ClaimResponse claim, RunnerParts parts, Func<StepMasks> masks)
    {
        if (string.IsNullOrWhiteSpace(claim.PromptText)) return (null, "The assignment names no prompt.");
        if (parts.CodingAgents.Find(claim.CodingAgent) is not { } agent)
            return (null, claim.CodingAgent is { } name ? $"This machine has no coding agent '{name}'." : "This machine has no coding agent.");
        if (agent.Settings.Protocol == CodingAgentProtocol.Stdin) return (new StdinWork(agent, claim.PromptText), null);
        return (Conversation(agent, claim, parts, masks, claim.PromptText, null), null);
    }

    private static (IStepWork? Work, string? Unfit) OfQuestions(ClaimResponse claim, RunnerParts parts, Func<StepMasks> masks)
    {
        if (claim.Questions is not { Count: > 0 } questions) return (null, "The assignment has no questions.");
        if (parts.CodingAgents.Find(claim.CodingAgent, converses: claim.CodingAgent is null) is not { } agent)
            return (null, claim.CodingAgent is { } name ? $"This machine has no coding agent '{name}'." : "This machine has no coding agent that speaks the Agent Client Protocol, as an investigation needs.");
        // One session answers all of them, and is asked again: a program that reads one prompt can do neither.
        if (agent.Settings.Protocol == CodingAgentProtocol.Stdin)
            return (null, $"The coding agent '{agent.Name}' reads one prompt on its standard input (protocol: stdin), and an investigation has a conversation; name one that speaks the Agent Client Protocol.");
        var inquiry = new Inquiry(questions, claim.PromptText);
        return (Conversation(agent, claim, parts, masks, inquiry.First, inquiry), null);
    }

    private static PromptWork Conversation(CodingAgent agent, ClaimResponse claim, RunnerParts parts, Func<StepMasks> masks, string text, Inquiry? inquiry) => new(agent, new PromptRequest
    {
        Text = text,
        Opening = inquiry?.Opening,
        Next = inquiry is null ? null : inquiry.Next,
        Directory = claim.WorkingDirectory ?? JobCommand.HomeDirectory() ?? Environment.CurrentDirectory,
        ClientVersion = parts.Options.AgentVersion,
    }, PermissionsOf(claim, agent, parts, masks), parts.Options.Timeouts.CodingAgentStart, inquiry);

    /// <summary>An older server takes no questions: then nobody can be asked.</summary>
    private static IPermissionAnswers PermissionsOf(ClaimResponse claim, CodingAgent agent, RunnerParts parts, Func<StepMasks> masks) => claim.PermissionTimeoutMs is not (> 0 and <= 86_400_000 and var timeout) ? DenyPermissions.Instance
        : new LivePermissions(new PermissionAsker(claim.StepId, claim.LeaseGeneration, agent.Name, TimeSpan.FromMilliseconds(timeout)), new PermissionText(text => masks().Text(text), element => masks().Json(element)),
            parts.Client, parts.Sessions, parts.Options.Timeouts, parts.Platform.BootNowMs, parts.Clock, parts.Log);
}
