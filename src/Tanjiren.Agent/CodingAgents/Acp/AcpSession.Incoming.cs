using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents.Acp;

/// <content>What the agent says and asks by itself.</content>
internal sealed partial class AcpSession
{
    /// <summary>Tool calls that are remembered, and characters of their inputs and contents; forgetting them all costs a line in the log for each that goes on.</summary>
    private const int MaxTools = 1000, MaxToolCharacters = 32 * 1024 * 1024;

    /// <summary>Questions that may wait at once; agents ask one after the other, or a few.</summary>
    private const int MaxPending = 100;

    private readonly Dictionary<string, ToolCall> tools = [];
    private readonly Dictionary<string, PermissionQuestion> pending = [];
    private TokenUsage? usage;
    private long toolCharacters;

    /// <summary>What it says that the turn cost; null: nothing.</summary>
    public TokenUsage? Usage => usage;

    /// <summary>Answers a question that is still open.</summary>
    public void Answer(PermissionQuestion question, PermissionAnswer answer)
    {
        // By the question itself: an answer to another of the same id, asked and answered before, is none to this.
        if (phase == Phase.Over || !pending.TryGetValue(question.Key, out var open) || !ReferenceEquals(open, question)) return;
        Settle(question, answer.Verdict == PermissionVerdict.Allow ? PermissionTold.Allow : PermissionTold.Deny, question.Choose(answer.Verdict, answer.OptionId), answer.Because);
    }

    private void Requested(RpcMessage message)
    {
        if (message.Method != "session/request_permission")
        {
            Events.Enqueue(new RequestRefused(message.Method!));
            AnswerError(message.Id!.Value, RpcError.MethodNotFound, $"{message.Method} is not offered");
            return;
        }
        if (sessionId is null)
        {
            Keep(message);
            return;
        }
        var asked = AcpCodec.Read(message.Params, AcpJson.Default.PermissionParams);
        if (asked is null || asked.SessionId != sessionId)
        {
            AnswerError(message.Id!.Value, RpcError.InvalidParams, "there is no such session");
            return;
        }
        if (pending.Count >= MaxPending)
        {
            AnswerError(message.Id!.Value, RpcError.InvalidParams, $"{MaxPending} requests for permission wait already");
            return;
        }
        var question = new PermissionQuestion(message.Id!.Value, Upsert(AcpCodec.Read(asked.ToolCall, AcpJson.Default.ToolCallFields)), [.. (asked.Options ?? []).OfType<PermissionOption>()]);
        Events.Enqueue(new PermissionAsked(question));
        // Twice under one id: the first of them can't be answered any more.
        if (pending.Remove(question.Key, out var earlier)) Events.Enqueue(new PermissionSettled(earlier, PermissionTold.Withdrawn, null, "asked again under the same id"));
        pending[question.Key] = question;
        if (WasCancelled) Settle(question, PermissionTold.Cancelled, null, null);
        else Questions.Enqueue(question);
    }

    private void Notified(RpcMessage message)
    {
        switch (message.Method)
        {
            case "$/cancel_request":
                Withdraw(AcpCodec.Read(message.Params, AcpJson.Default.CancelRequestParams)?.RequestId);
                break;
            case "session/update" when sessionId is null:
                Keep(message);
                break;
            case "session/update":
                var notification = AcpCodec.Read(message.Params, AcpJson.Default.SessionNotification);
                if (notification is null) Events.Enqueue(new MessageIgnored("session/update"));
                else if (notification.SessionId == sessionId) Update(notification.Update);
                break;
        }
    }

    private void Update(JsonElement? element)
    {
        if (AcpCodec.Read(element, AcpJson.Default.SessionUpdate) is not { } update)
        {
            Events.Enqueue(new MessageIgnored("session/update"));
            return;
        }
        switch (update.Kind)
        {
            case "agent_message_chunk":
                Say(AcpCodec.TextOf(update.Content), update.MessageId is { } id ? AcpCodec.StringOf(id) : null);
                break;
            case "agent_thought_chunk":
                if (AcpCodec.TextOf(update.Content) is { Length: > 0 } thought) Events.Enqueue(new ThoughtChunk(thought));
                break;
            case "tool_call" or "tool_call_update":
                Upsert(AcpCodec.Read(element, AcpJson.Default.ToolCallFields));
                break;
            case "plan":
                Events.Enqueue(new PlanChanged([.. (update.Entries ?? []).OfType<PlanEntry>()]));
                break;
            case "current_mode_update" when update.CurrentModeId is { } now:
                Events.Enqueue(new ModeChanged(mode = now));
                break;
            case "usage_update":
                usage = (usage ?? new TokenUsage()) with
                {
                    ContextUsed = Sane(update.Used) ?? usage?.ContextUsed,
                    ContextSize = Sane(update.Size) ?? usage?.ContextSize,
                    CostAmount = update.Cost?.Amount is >= 0 and var amount ? amount : usage?.CostAmount,
                    // ISO 4217, as the protocol has it: nothing else leaves the machine unmasked.
                    CostCurrency = update.Cost?.Currency is { Length: 3 } currency && currency.All(char.IsAsciiLetterUpper) ? currency : usage?.CostCurrency,
                };
                break;
        }
    }

    private void Say(string text, string? id)
    {
        if (text.Length == 0) return;
        // Where messages have ids, what has none is a word of the adapter (a warning): told, and no part of an answer.
        var isAside = id is null && messageId is not null;
        var isNew = !isAside && (messageIsOver || id != messageId);
        Events.Enqueue(new MessageChunk(text, isNew || isAside != spokeAside));
        spokeAside = isAside;
        if (isAside) return;
        if (isNew) lastMessage.Clear();
        (messageIsOver, messageId) = (false, id);
        lastMessage.Append(text);
    }

    private ToolCall Upsert(ToolCallFields? fields)
    {
        if (fields?.ToolCallId is not { Length: > 0 } id)
        {
            Events.Enqueue(new MessageIgnored("a tool call without an id"));
            return new ToolCall("?").With(fields ?? new ToolCallFields());
        }
        if ((tools.Count >= MaxTools && !tools.ContainsKey(id)) || toolCharacters > MaxToolCharacters)
        {
            tools.Clear();
            toolCharacters = 0;
        }
        var isNew = !tools.TryGetValue(id, out var known);
        var tool = (known ?? new ToolCall(id)).With(fields);
        // Nothing is asked about one that is over.
        tools[id] = tool.IsOver ? tool with { Input = null, Content = null } : tool;
        // What it said before a new call was on the way to its answer. News of an earlier one may come in the middle of words.
        messageIsOver |= isNew;
        var (input, content) = (fields.RawInput?.GetRawText(), fields.Content?.GetRawText());
        var hasInput = input is not null && input != known?.Input?.GetRawText();
        var hasContent = content is not null && content != known?.Content?.GetRawText();
        if (!tool.IsOver) toolCharacters += (input?.Length ?? 0) + (content?.Length ?? 0);
        // Some send an update for every piece of a command's output, with nothing in it that is read here.
        if (isNew || hasInput || hasContent || !tool.LooksLike(known!)) Events.Enqueue(new ToolChanged(tool, isNew, hasInput, hasContent));
        return tool;
    }

    private void Use(AcpUsage? told)
    {
        if (told is null) return;
        usage = (usage ?? new TokenUsage()) with
        {
            InputTokens = Sane(told.InputTokens),
            OutputTokens = Sane(told.OutputTokens),
            TotalTokens = Sane(told.TotalTokens),
            ThoughtTokens = Sane(told.ThoughtTokens),
            CachedReadTokens = Sane(told.CachedReadTokens),
            CachedWriteTokens = Sane(told.CachedWriteTokens),
        };
    }

    /// <summary>The server takes no number below 0: a result must not be refused for what an agent reckons wrongly.</summary>
    private static long? Sane(long? number) => number is >= 0 ? number : null;

    private void Withdraw(JsonElement? requestId)
    {
        if (requestId?.GetRawText() is not { } key || !pending.Remove(key, out var question)) return;
        Events.Enqueue(new PermissionSettled(question, PermissionTold.Withdrawn, null, null));
        AnswerError(question.Id, RpcError.Cancelled, "withdrawn by the agent");
    }

    /// <summary>Without an option the request is cancelled, whatever was answered: nothing that the agent offers says it.</summary>
    private void Settle(PermissionQuestion question, PermissionTold told, PermissionOption? option, string? because)
    {
        pending.Remove(question.Key);
        // An answer that no option says is none: what was told is that the turn ends.
        Events.Enqueue(new PermissionSettled(question, option is null && told == PermissionTold.Allow ? PermissionTold.Cancelled : told, option, because));
        var outcome = option is null ? new PermissionOutcome { Outcome = "cancelled" } : new PermissionOutcome { Outcome = "selected", OptionId = option.OptionId };
        Outgoing.Enqueue(AcpCodec.Write(new RpcAnswer<PermissionResult> { Id = question.Id, Result = new PermissionResult { Outcome = outcome } }, AcpJson.Default.PermissionAnswer));
    }

    private void Keep(RpcMessage message)
    {
        earlyCharacters += message.Params?.GetRawText().Length ?? 0;
        if (early.Count < MaxEarly && earlyCharacters <= MaxEarlyCharacters) early.Enqueue(message);
    }

    private void AnswerError(JsonElement id, int code, string message) =>
        Outgoing.Enqueue(AcpCodec.Write(new RpcAnswer<PermissionResult> { Id = id, Error = new RpcError { Code = code, Message = message } }, AcpJson.Default.PermissionAnswer));
}
