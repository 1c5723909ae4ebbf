using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.CodingAgents.Questions;
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
        TaskMode.Investigate => OfQuestions(claim, parts),
        _ => (null, $"This agent can't do the mode '{claim.Mode}'; update it."),
    };

    private static (IStepWork? Work, string? Unfit) OfPrompt(ClaimResponse claim, RunnerParts parts)
    {
        if (string.IsNullOrWhiteSpace(claim.PromptText)) return (null, "The assignment names no prompt.");
        if (parts.CodingAgents.Find(claim.CodingAgent) is not { } agent)
            return (null, claim.CodingAgent is { } name ? $"This machine has no coding agent '{name}'." : "This machine has no coding agent.");
        if (agent.Settings.Protocol == CodingAgentProtocol.Stdin) return (new StdinWork(agent, claim.PromptText), null);
        return (Conversation(agent, claim, parts, claim.PromptText, null), null);
    }

    private static (IStepWork? Work, string? Unfit) OfQuestions(ClaimResponse claim, RunnerParts parts)
    {
        if (claim.Questions is not { Count: > 0 } questions) return (null, "The assignment has no questions.");
        if (parts.CodingAgents.Find(claim.CodingAgent, converses: claim.CodingAgent is null) is not { } agent)
            return (null, claim.CodingAgent is { } name ? $"This machine has no coding agent '{name}'." : "This machine has no coding agent that speaks the Agent Client Protocol, as an investigation needs.");
        // One session answers all of them, and is asked again: a program that reads one prompt can do neither.
        if (agent.Settings.Protocol == CodingAgentProtocol.Stdin)
            return (null, $"The coding agent '{agent.Name}' reads one prompt on its standard input (protocol: stdin), and an investigation has a conversation; name one that speaks the Agent Client Protocol.");
        var inquiry = new Inquiry(questions, claim.PromptText);
        return (Conversation(agent, claim, parts, inquiry.First, inquiry), null);
    }

    private static PromptWork Conversation(CodingAgent agent, ClaimResponse claim, RunnerParts parts, string text, Inquiry? inquiry) => new(agent, new PromptRequest
    {
        Text = text,
        Opening = inquiry?.Opening,
        Next = inquiry is null ? null : inquiry.Next,
        Directory = claim.WorkingDirectory ?? JobCommand.HomeDirectory() ?? Environment.CurrentDirectory,
        ClientVersion = parts.Options.AgentVersion,
    }, DenyPermissions.Instance, parts.Options.Timeouts.CodingAgentStart, inquiry);
}
