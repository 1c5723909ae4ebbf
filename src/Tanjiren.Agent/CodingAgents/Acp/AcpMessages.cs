using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Agent.CodingAgents.Acp;

// The used part of the Agent Client Protocol, version 1. What else a message has is ignored; what a message lacks is null: the other side is never trusted to be complete.

/// <summary>JSON-RPC 2.0: a request has method and id, a notification a method, an answer an id.</summary>
internal sealed record RpcMessage
{
    public JsonElement? Id { get; init; }
    public string? Method { get; init; }
    public JsonElement? Params { get; init; }
    public JsonElement? Result { get; init; }
    /// <summary><see cref="RpcError"/>. Read by itself: an error of an odd form is one all the same, and not an answer that never came.</summary>
    public JsonElement? Error { get; init; }

    public bool IsRequest => Method is not null && Id is not null;
}

internal sealed record RpcError
{
    public const int InvalidParams = -32602, MethodNotFound = -32601, Cancelled = -32800, AuthenticationRequired = -32000;

    public int Code { get; init; }
    public string? Message { get; init; }
    public JsonElement? Data { get; init; }
}

internal sealed record RpcRequest<T>
{
    public string Jsonrpc => "2.0";
    /// <summary>Absent: a notification.</summary>
    public int? Id { get; init; }
    public required string Method { get; init; }
    public required T Params { get; init; }
}

internal sealed record RpcAnswer<T>
{
    public string Jsonrpc => "2.0";
    public required JsonElement Id { get; init; }
    public T? Result { get; init; }
    public RpcError? Error { get; init; }
}

internal sealed record AcpImplementation
{
    public string? Name { get; init; }
    public string? Title { get; init; }
    public string? Version { get; init; }
}

internal sealed record InitializeParams
{
    public int ProtocolVersion { get; init; } = 1;
    public AcpClientCapabilities ClientCapabilities { get; init; } = new();
    public required AcpImplementation ClientInfo { get; init; }
}

/// <summary>Nothing is offered: agents read, write and run by themselves, in their own tree, where the step's limits hold and its kill reaches.</summary>
internal sealed record AcpClientCapabilities
{
    public AcpFileSystem Fs { get; init; } = new();
    public bool Terminal { get; init; }
}

internal sealed record AcpFileSystem
{
    public bool ReadTextFile { get; init; }
    public bool WriteTextFile { get; init; }
}

internal sealed record InitializeResult
{
    public int? ProtocolVersion { get; init; }
    public AcpImplementation? AgentInfo { get; init; }
}

internal sealed record NewSessionParams
{
    public required string Cwd { get; init; }
    public IReadOnlyList<string> McpServers { get; init; } = [];
}

internal sealed record NewSessionResult
{
    public string? SessionId { get; init; }
    /// <summary><see cref="SessionModes"/>. Read by itself, as what else is not needed for a session: an odd form of it must not cost the session.</summary>
    public JsonElement? Modes { get; init; }
    /// <summary>A list of <see cref="ConfigOption"/>.</summary>
    public JsonElement? ConfigOptions { get; init; }
}

internal sealed record SessionModes
{
    public string? CurrentModeId { get; init; }
    public IReadOnlyList<SessionMode?>? AvailableModes { get; init; }
}

internal sealed record SessionMode
{
    public string? Id { get; init; }
}

/// <summary>The newer way to say modes, among other things: a selection of the category <c>mode</c>.</summary>
internal sealed record ConfigOption
{
    public string? Id { get; init; }
    public string? Category { get; init; }
    public JsonElement? CurrentValue { get; init; }
    /// <summary>Of <c>{ value }</c>, or of groups that have such in their own <c>options</c>.</summary>
    public JsonElement? Options { get; init; }
}

internal sealed record SetModeParams
{
    public required string SessionId { get; init; }
    public required string ModeId { get; init; }
}

internal sealed record SetConfigOptionParams
{
    public required string SessionId { get; init; }
    public required string ConfigId { get; init; }
    public required string Value { get; init; }
}

internal sealed record PromptParams
{
    public required string SessionId { get; init; }
    public required IReadOnlyList<TextBlock> Prompt { get; init; }
}

internal sealed record TextBlock
{
    public string Type => "text";
    public required string Text { get; init; }
}

internal sealed record PromptResult
{
    public string? StopReason { get; init; }
    /// <summary><see cref="AcpUsage"/>.</summary>
    public JsonElement? Usage { get; init; }
}

internal sealed record AcpUsage
{
    public long? InputTokens { get; init; }
    public long? OutputTokens { get; init; }
    public long? TotalTokens { get; init; }
    public long? ThoughtTokens { get; init; }
    public long? CachedReadTokens { get; init; }
    public long? CachedWriteTokens { get; init; }
}

internal sealed record SessionParams
{
    public required string SessionId { get; init; }
}

internal sealed record SessionNotification
{
    public string? SessionId { get; init; }
    public JsonElement? Update { get; init; }
}

/// <summary>All kinds of update in one: which fields are set follows from the kind.</summary>
internal sealed record SessionUpdate
{
    [JsonPropertyName("sessionUpdate")]
    public string? Kind { get; init; }
    /// <summary>A block, in chunks of a message; a list, in tool calls.</summary>
    public JsonElement? Content { get; init; }
    /// <summary>Of a chunk: the same for all of one message. A string, from agents that say it.</summary>
    public JsonElement? MessageId { get; init; }
    public IReadOnlyList<PlanEntry?>? Entries { get; init; }
    public string? CurrentModeId { get; init; }
    public long? Used { get; init; }
    public long? Size { get; init; }
    public AcpCost? Cost { get; init; }
}

internal sealed record AcpCost
{
    public decimal? Amount { get; init; }
    public string? Currency { get; init; }
}

internal sealed record PlanEntry
{
    public string? Content { get; init; }
    public string? Priority { get; init; }
    public string? Status { get; init; }
}

/// <summary>Of a <c>tool_call</c>, a <c>tool_call_update</c> and a request for permission: what is absent stays as it was.</summary>
internal sealed record ToolCallFields
{
    public string? ToolCallId { get; init; }
    public string? Title { get; init; }
    /// <summary>read, edit, delete, move, search, execute, think, fetch, switch_mode, other.</summary>
    [JsonPropertyName("kind")]
    public string? ToolKind { get; init; }
    /// <summary>pending, in_progress, completed, failed.</summary>
    public string? Status { get; init; }
    public IReadOnlyList<ToolLocation?>? Locations { get; init; }
    public JsonElement? Content { get; init; }
    public JsonElement? RawInput { get; init; }
}

internal sealed record ToolLocation
{
    public string? Path { get; init; }
    public long? Line { get; init; }
}

internal sealed record PermissionParams
{
    public string? SessionId { get; init; }
    /// <summary><see cref="ToolCallFields"/>.</summary>
    public JsonElement? ToolCall { get; init; }
    public IReadOnlyList<PermissionOption?>? Options { get; init; }
}

internal sealed record PermissionOption
{
    public string? OptionId { get; init; }
    public string? Name { get; init; }
    /// <summary>allow_once, allow_always, reject_once, reject_always.</summary>
    public string? Kind { get; init; }
}

internal sealed record PermissionResult
{
    public required PermissionOutcome Outcome { get; init; }
}

internal sealed record PermissionOutcome
{
    /// <summary><c>selected</c>, or <c>cancelled</c>.</summary>
    public required string Outcome { get; init; }
    public string? OptionId { get; init; }
}

internal sealed record CancelRequestParams
{
    public JsonElement? RequestId { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RpcMessage))]
[JsonSerializable(typeof(RpcRequest<InitializeParams>), TypeInfoPropertyName = "InitializeRequest")]
[JsonSerializable(typeof(RpcRequest<NewSessionParams>), TypeInfoPropertyName = "NewSessionRequest")]
[JsonSerializable(typeof(RpcRequest<SetModeParams>), TypeInfoPropertyName = "SetModeRequest")]
[JsonSerializable(typeof(RpcRequest<SetConfigOptionParams>), TypeInfoPropertyName = "SetConfigOptionRequest")]
[JsonSerializable(typeof(RpcRequest<PromptParams>), TypeInfoPropertyName = "PromptRequest")]
[JsonSerializable(typeof(RpcRequest<SessionParams>), TypeInfoPropertyName = "SessionRequest")]
[JsonSerializable(typeof(RpcAnswer<PermissionResult>), TypeInfoPropertyName = "PermissionAnswer")]
[JsonSerializable(typeof(RpcError))]
[JsonSerializable(typeof(InitializeResult))]
[JsonSerializable(typeof(NewSessionResult))]
[JsonSerializable(typeof(SessionModes))]
[JsonSerializable(typeof(ConfigOption))]
[JsonSerializable(typeof(PromptResult))]
[JsonSerializable(typeof(AcpUsage))]
[JsonSerializable(typeof(SessionNotification))]
[JsonSerializable(typeof(SessionUpdate))]
[JsonSerializable(typeof(ToolCallFields))]
[JsonSerializable(typeof(PermissionParams))]
[JsonSerializable(typeof(CancelRequestParams))]
internal sealed partial class AcpJson : JsonSerializerContext;
