using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Tanjiren.Agent.Masking;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents.Acp;

/// <summary>What one session is for.</summary>
internal sealed record PromptRequest
{
    public required string Text { get; init; }
    /// <summary>Told before that is said.</summary>
    public SessionEvent? Opening { get; init; }
    /// <summary>What is said after a turn that the agent has ended by itself; null: the session has one turn. Called while the session decides, and so as pure as that.</summary>
    public Func<TurnOver, NextTurn>? Next { get; init; }
    /// <summary>Absolute.</summary>
    public required string Directory { get; init; }
    public required string ClientVersion { get; init; }
    /// <summary>To be set before the prompt; null: the agent's own.</summary>
    public string? Mode { get; init; }
}

/// <param name="StopReason">The agent's word for why it ended.</param>
/// <param name="Said">What it said last.</param>
/// <param name="WasCancelled">Whether we asked for its end: nothing more can be said.</param>
internal sealed record TurnOver(string StopReason, string Said, bool WasCancelled);

/// <param name="Text">What is said; null: nothing, the session is over.</param>
/// <param name="Events">Told before it.</param>
internal sealed record NextTurn(string? Text, IReadOnlyList<SessionEvent> Events);

/// <summary>
/// One session with one turn after another, as a pure machine: messages in, lines to send and events to tell out. initialize, session/new, the mode if one is asked for, session/prompt. It
/// never throws for what the other side sends, and does no I/O; its owner holds one lock around each call and takes the two queues empty.
/// </summary>
internal sealed partial class AcpSession(string name, PromptRequest request)
{
    private const int ProtocolVersion = 1;

    // What is held of the other side's words has a bound, or a job could fill the memory of the agent, whose own has no limit.

    /// <summary>Messages that came before the session's id was known, at most, and their characters; agents send a handful.</summary>
    private const int MaxEarly = 1000, MaxEarlyCharacters = 4 * 1024 * 1024;

    private enum Phase { Initializing, Opening, SettingMode, Prompting, Over }

    private readonly Queue<RpcMessage> early = new();
    private readonly ResponseText lastMessage = new();
    private Phase phase = Phase.Initializing;
    private int lastId;
    private long earlyCharacters;
    private string? sessionId;
    private string? agent;
    private string? mode;
    private string? messageId;
    private bool messageIsOver;
    private bool spokeAside;

    /// <summary>To be sent, in order.</summary>
    public Queue<byte[]> Outgoing { get; } = new();

    /// <summary>To be told, in order.</summary>
    public Queue<SessionEvent> Events { get; } = new();

    /// <summary>Questions that nobody was asked yet.</summary>
    public Queue<PermissionQuestion> Questions { get; } = new();

    /// <summary>Null while it lasts.</summary>
    public SessionEnd? End { get; private set; }

    /// <summary>A turn is under way or over: the start needs no time limit any more.</summary>
    public bool HasStarted => phase >= Phase.Prompting;

    /// <summary>Whether we asked for the end of the turn: denied agents say <c>cancelled</c> by themselves.</summary>
    public bool WasCancelled { get; private set; }

    /// <summary>The agent's last message: after its last tool call, unless it has said nothing since.</summary>
    public ResponseText Response => lastMessage;

    public void Start() => Send("initialize", new InitializeParams { ClientInfo = new AcpImplementation { Name = "tanjiren", Title = "Tanjiren", Version = request.ClientVersion } },
        AcpJson.Default.InitializeRequest);

    public void Receive(RpcMessage message)
    {
        if (phase == Phase.Over) return;
        if (message.IsRequest) Requested(message);
        else if (message.Method is not null) Notified(message);
        // An answer to anything but the one request that is open is none: asked nothing, or answered twice.
        else if (message.Id is { ValueKind: JsonValueKind.Number } id && id.TryGetInt32(out var number) && number == lastId) Answered(message);
    }

    /// <summary>Ends the turn in the agent's own words. False: there is none to end.</summary>
    public bool Cancel()
    {
        if (phase != Phase.Prompting) return false;
        if (WasCancelled) return true;
        WasCancelled = true;
        // Some wait for their question for ever, and never come to see the cancel.
        foreach (var question in pending.Values.ToList()) Settle(question, PermissionTold.Cancelled, null, null);
        Outgoing.Enqueue(AcpCodec.Write(new RpcRequest<SessionParams> { Method = "session/cancel", Params = new SessionParams { SessionId = sessionId! } }, AcpJson.Default.SessionRequest));
        return true;
    }

    /// <summary>The start took too long, or the process is gone.</summary>
    public void Fail(string detail)
    {
        if (phase == Phase.Over) return;
        Finish(new SessionEnd(phase < Phase.Prompting ? SessionEndKind.NotStarted : SessionEndKind.Error, null, detail));
    }

    private void Answered(RpcMessage message)
    {
        if (message.Error is { } error)
        {
            Refused(AcpCodec.Read(error, AcpJson.Default.RpcError) ?? new RpcError { Data = error });
            return;
        }
        switch (phase)
        {
            case Phase.Initializing:
                Initialized(AcpCodec.Read(message.Result, AcpJson.Default.InitializeResult));
                break;
            case Phase.Opening:
                Opened(AcpCodec.Read(message.Result, AcpJson.Default.NewSessionResult));
                break;
            case Phase.SettingMode:
                Prompt();
                break;
            case Phase.Prompting:
                Ended(AcpCodec.Read(message.Result, AcpJson.Default.PromptResult));
                break;
        }
    }

    private void Refused(RpcError error)
    {
        var words = Words(error);
        var detail = phase switch
        {
            Phase.Initializing => $"{name} could not be initialized: {words}",
            Phase.Opening when error.Code == RpcError.AuthenticationRequired => $"{name} is not signed in on this machine; sign in to it as the user that runs the agent, or give it a key by codingAgents.{name}.environment in agent.yaml ({words})",
            Phase.Opening => $"{name} opened no session: {words}",
            Phase.SettingMode => $"{name} did not take the mode '{request.Mode}': {words}",
            _ => $"{name} failed: {words}",
        };
        Fail(detail);
    }

    private void Initialized(InitializeResult? result)
    {
        if (result is not { ProtocolVersion: ProtocolVersion })
        {
            Fail($"{name} speaks version {result?.ProtocolVersion?.ToString() ?? "?"} of the Agent Client Protocol; this agent speaks {ProtocolVersion}");
            return;
        }
        agent = result.AgentInfo is { Name: { } its } info ? $"{info.Title ?? its} {info.Version}".Trim() : null;
        phase = Phase.Opening;
        Send("session/new", new NewSessionParams { Cwd = request.Directory }, AcpJson.Default.NewSessionRequest);
    }

    private void Opened(NewSessionResult? result)
    {
        if (result?.SessionId is not { Length: > 0 } id)
        {
            Fail($"{name} opened a session without an id");
            return;
        }
        sessionId = id;
        var modes = new OfferedModes(result);
        mode = modes.Current;
        while (early.TryDequeue(out var message)) Receive(message);
        if (request.Mode is not { } wanted || wanted == mode)
        {
            Prompt();
            return;
        }
        phase = Phase.SettingMode;
        if (modes.ByMode.Contains(wanted)) Send("session/set_mode", new SetModeParams { SessionId = id, ModeId = wanted }, AcpJson.Default.SetModeRequest);
        else if (modes.OptionOf(wanted) is { } option) Send("session/set_config_option", new SetConfigOptionParams { SessionId = id, ConfigId = option, Value = wanted }, AcpJson.Default.SetConfigOptionRequest);
        else Fail($"{name} has no mode '{wanted}' ({modes.Describe()}); correct codingAgents.{name}.mode in agent.yaml");
        mode = wanted;
    }

    private void Prompt()
    {
        Events.Enqueue(new SessionOpened(name, agent, sessionId!, mode));
        if (request.Opening is { } opening) Events.Enqueue(opening);
        phase = Phase.Prompting;
        Ask(request.Text);
    }

    private void Ask(string text)
    {
        // What an adapter says before it is asked (a warning, a greeting, the answer before) is no answer.
        lastMessage.Clear();
        messageId = null;
        Send("session/prompt", new PromptParams { SessionId = sessionId!, Prompt = [new TextBlock { Text = text }] }, AcpJson.Default.PromptRequest);
    }

    private void Ended(PromptResult? result)
    {
        if (result?.StopReason is not { } reason)
        {
            Fail($"{name} ended its turn without saying why");
            return;
        }
        Use(AcpCodec.Read(result.Usage, AcpJson.Default.AcpUsage));
        var next = request.Next?.Invoke(new TurnOver(reason, Response.ToText(StepMasks.None), WasCancelled));
        if (next?.Text is null || WasCancelled)
        {
            foreach (var told in next?.Events ?? []) Events.Enqueue(told);
            Finish(new SessionEnd(SessionEndKind.Turn, reason, null));
            return;
        }
        // What it asked in a turn that is over nobody need answer.
        foreach (var question in pending.Values.ToList()) Settle(question, PermissionTold.Cancelled, null, null);
        Events.Enqueue(new TurnEnded(reason));
        foreach (var told in next.Events) Events.Enqueue(told);
        Ask(next.Text);
    }

    private void Finish(SessionEnd end)
    {
        foreach (var question in pending.Values.ToList()) Settle(question, PermissionTold.Cancelled, null, null);
        // What it said before it was asked is no answer.
        if (end.Kind == SessionEndKind.NotStarted) lastMessage.Clear();
        if (usage is { } told) Events.Enqueue(new UsageTold(told));
        if (end.StopReason is { } reason) Events.Enqueue(new TurnEnded(reason));
        phase = Phase.Over;
        End = end;
    }

    private void Send<T>(string method, T parameters, JsonTypeInfo<RpcRequest<T>> type) =>
        Outgoing.Enqueue(AcpCodec.Write(new RpcRequest<T> { Id = ++lastId, Method = method, Params = parameters }, type));

    /// <summary>As long as they are: they are masked before they are cut.</summary>
    private static string Words(RpcError error)
    {
        var more = error.Data is { } data ? AcpCodec.StringOf(data) ?? AcpCodec.StringOf(data, "details") ?? AcpCodec.StringOf(data, "message") ?? data.GetRawText() : null;
        var words = string.Join(": ", new[] { error.Message, more }.Where(w => !string.IsNullOrWhiteSpace(w)));
        return words.Length == 0 ? $"error {error.Code}" : $"{words} (error {error.Code})";
    }
}
