using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents.Acp;

/// <summary>Something that a session tells, in the order in which it happened.</summary>
internal abstract record SessionEvent;

/// <param name="CodingAgent">By which name it was asked.</param>
/// <param name="Agent">What the adapter calls itself, with its version.</param>
/// <param name="SessionId">As the adapter calls it.</param>
/// <param name="Mode">In which the session is; null: it has no modes.</param>
internal sealed record SessionOpened(string CodingAgent, string? Agent, string SessionId, string? Mode) : SessionEvent;

/// <param name="Text">Some words.</param>
/// <param name="IsNew">They begin a message.</param>
internal sealed record MessageChunk(string Text, bool IsNew) : SessionEvent;

internal sealed record ThoughtChunk(string Text) : SessionEvent;

/// <param name="Tool">As it is known now.</param>
/// <param name="IsNew">Told of for the first time.</param>
/// <param name="HasInput">Its input is new with this.</param>
/// <param name="HasContent">Its content is: all of it, as agents send it.</param>
internal sealed record ToolChanged(ToolCall Tool, bool IsNew, bool HasInput, bool HasContent) : SessionEvent;

internal sealed record PlanChanged(IReadOnlyList<PlanEntry> Entries) : SessionEvent;

internal sealed record ModeChanged(string Mode) : SessionEvent;

internal sealed record PermissionAsked(PermissionQuestion Question) : SessionEvent;

/// <param name="Question">Which.</param>
/// <param name="Told">What was answered, if anything was.</param>
/// <param name="Option">The option that was chosen; null: none.</param>
/// <param name="Because">Who or what says so.</param>
internal sealed record PermissionSettled(PermissionQuestion Question, PermissionTold Told, PermissionOption? Option, string? Because) : SessionEvent;

/// <summary>The agent asked for something that it was not offered.</summary>
internal sealed record RequestRefused(string Method) : SessionEvent;

/// <summary>A message that can't be read, and was ignored.</summary>
internal sealed record MessageIgnored(string What) : SessionEvent;

internal sealed record UsageTold(TokenUsage Usage) : SessionEvent;

internal sealed record TurnEnded(string StopReason) : SessionEvent;

/// <param name="Question">Of an investigation.</param>
/// <param name="Number">Its place, from 1.</param>
/// <param name="Of">How many there are.</param>
/// <param name="Fault">What was wrong with its answer; null: it is asked for the first time.</param>
internal sealed record QuestionAsked(TaskQuestion Question, int Number, int Of, string? Fault) : SessionEvent;

/// <param name="Answer">What is kept of a question: an answer, or why there is none.</param>
internal sealed record QuestionSettled(StepAnswerRequest Answer) : SessionEvent;

/// <summary>How a session came to its end.</summary>
internal enum SessionEndKind
{
    /// <summary>The turn ended by a word of the agent.</summary>
    Turn,
    /// <summary>It never got as far as a turn.</summary>
    NotStarted,
    /// <summary>The agent said that it could not.</summary>
    Error,
}

/// <param name="Kind">How.</param>
/// <param name="StopReason">Of a turn.</param>
/// <param name="Detail">Of the others, for people.</param>
internal sealed record SessionEnd(SessionEndKind Kind, string? StopReason, string? Detail);
