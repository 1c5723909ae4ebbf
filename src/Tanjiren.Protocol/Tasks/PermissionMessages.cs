using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What is answered to a coding agent that asks whether it may use a tool.</summary>
[JsonConverter(typeof(SnakeCaseEnum<PermissionVerdict>))]
public enum PermissionVerdict
{
    Allow,
    Deny,
}

/// <summary>What became of a coding agent's question. The last three are final.</summary>
[JsonConverter(typeof(SnakeCaseEnum<PermissionState>))]
public enum PermissionState
{
    /// <summary>Waits for a person's answer until it expires.</summary>
    Pending,
    /// <summary>By a person, or by a rule of the doctrine.</summary>
    Answered,
    /// <summary>Nobody answered in time: it is denied.</summary>
    Expired,
    /// <summary>It is no longer asked: its step has ended, its task is being cancelled, or the coding agent took it back.</summary>
    Withdrawn,
}

/// <summary>What the coding agent was told in the end. It differs from the answer when that came too late for a machine without a connection.</summary>
[JsonConverter(typeof(SnakeCaseEnum<PermissionTold>))]
public enum PermissionTold
{
    Allow,
    Deny,
    /// <summary>That its turn ends.</summary>
    Cancelled,
    /// <summary>Nothing: it took the question back.</summary>
    Withdrawn,
}

/// <summary>What a coding agent wants to use, as it says itself: it proves nothing, and secrets in it are masked.</summary>
public sealed record PermissionTool
{
    /// <summary>By which the events of the step's log name the same call; at most 200 characters.</summary>
    public string? CallId { get; init; }
    /// <summary>One of <see cref="ToolKinds"/>; what is not counts as <c>other</c>. At most 64 characters.</summary>
    public string? Kind { get; init; }
    /// <summary>In one line, at most 1,000 characters.</summary>
    public string? Title { get; init; }
    /// <summary>Files that it concerns: at most 50 of at most 4,096 characters.</summary>
    public IReadOnlyList<string>? Paths { get; init; }
    /// <summary>As it would be called, at most 32 KiB of JSON. Absent: it has none, or more than that (<see cref="ArgumentsCut"/>).</summary>
    public JsonElement? Arguments { get; init; }
    /// <summary>There is more than is told here.</summary>
    public bool ArgumentsCut { get; init; }
}

/// <summary>An answer that the coding agent offers.</summary>
public sealed record PermissionOptionBody
{
    /// <summary>By which it is chosen; at most 200 characters.</summary>
    public string? Id { get; init; }
    /// <summary>For people; at most 200 characters.</summary>
    public string? Name { get; init; }
    /// <summary><c>allow_once</c>, <c>allow_always</c>, <c>reject_once</c>, <c>reject_always</c>; another kind can't be chosen. At most 64 characters.</summary>
    public string? Kind { get; init; }
}

/// <summary><c>POST /api/steps/{id}/permissions?session=…</c>: the same question again gets the same answer.</summary>
public sealed record AskPermissionRequest
{
    public long? LeaseGeneration { get; init; }
    /// <summary><c>perm_…</c>, made by the agent before the first try.</summary>
    public string? PermissionId { get; init; }
    /// <summary>Which coding agent asks: <see cref="CodingAgentName"/>.</summary>
    public string? CodingAgent { get; init; }
    public PermissionTool? Tool { get; init; }
    /// <summary>At most 16.</summary>
    public IReadOnlyList<PermissionOptionBody>? Options { get; init; }
}

/// <summary>Answer to that, and to <c>GET /api/steps/{id}/permissions/{permissionId}?session=…&amp;waitSeconds=…</c>, which hangs until there is one.</summary>
public sealed record PermissionStanding
{
    public required string Id { get; init; }
    public required PermissionState State { get; init; }
    /// <summary>Once it is not pending any more.</summary>
    public PermissionVerdict? Verdict { get; init; }
    /// <summary>Which of its options is the answer; absent: none says it.</summary>
    public string? OptionId { get; init; }
    /// <summary>Who or what says so, for the log.</summary>
    public string? Because { get; init; }
    /// <summary>Milliseconds until it expires, while it is pending.</summary>
    public long? RemainingMs { get; init; }
}

/// <summary><c>POST /api/steps/{id}/permissions/{permissionId}/settle?session=…</c>: what the coding agent was told. One that was pending is withdrawn by it.</summary>
public sealed record SettlePermissionRequest
{
    public PermissionTold? Told { get; init; }
}

/// <summary><c>POST /api/permissions/{id}/answer</c>: by a verdict, or by one of the options.</summary>
public sealed record AnswerPermissionRequest
{
    /// <summary><c>allow</c> means the option of the kind <c>allow_once</c>, <c>deny</c> that of the kind <c>reject_once</c>.</summary>
    public PermissionVerdict? Verdict { get; init; }
    /// <summary>Any of its options, also one that holds for longer than this question: what that means is the coding agent's.</summary>
    public string? OptionId { get; init; }
    /// <summary>1-500 characters. Required to allow something in one's own production mutation, where one is alone in the organization.</summary>
    public string? Reason { get; init; }
}

/// <summary>A coding agent's question to people whether it may use a tool (G-07).</summary>
public sealed record PermissionBody
{
    public required string Id { get; init; }
    public required string TaskId { get; init; }
    /// <summary>Of the task.</summary>
    public required string Intent { get; init; }
    public required string StepId { get; init; }
    /// <summary>Of the lease under which it was asked.</summary>
    public required long LeaseGeneration { get; init; }
    public required string InstanceId { get; init; }
    public string? InstanceName { get; init; }
    /// <summary>Which coding agent asks.</summary>
    public string? CodingAgent { get; init; }
    /// <summary>The task's: who may allow depends on it.</summary>
    public required ApprovalClass ApprovalClass { get; init; }
    public required PermissionState State { get; init; }
    public required PermissionTool Tool { get; init; }
    public required IReadOnlyList<PermissionOptionBody> Options { get; init; }
    public required DateTimeOffset AskedAt { get; init; }
    /// <summary>Then it is denied.</summary>
    public required DateTimeOffset ExpiresAt { get; init; }
    /// <summary>When it was answered, expired or was withdrawn.</summary>
    public DateTimeOffset? EndedAt { get; init; }
    public PermissionVerdict? Verdict { get; init; }
    public string? OptionId { get; init; }
    /// <summary>User id of who answered; absent: nobody, or a rule.</summary>
    public string? AnsweredBy { get; init; }
    /// <summary>Name of the doctrine's rule that answered, or that wants a person to.</summary>
    public string? Rule { get; init; }
    /// <summary>A person's, or the rule's.</summary>
    public string? Reason { get; init; }
    /// <summary>Absent: the machine has not said yet.</summary>
    public PermissionTold? Told { get; init; }
}

/// <summary>Names of the events of questions: in <c>GET /api/tasks/{id}/events</c> and, as news, in <c>GET /api/approvals/events</c>.</summary>
public static class PermissionEvents
{
    public const string Asked = "permissionAsked";
    public const string Answered = "permissionAnswered";
    /// <summary>Nobody answered in time.</summary>
    public const string Expired = "permissionExpired";
    public const string Withdrawn = "permissionWithdrawn";
}

/// <summary>The kinds of tools of the Agent Client Protocol.</summary>
public static class ToolKinds
{
    public const string Other = "other";

    public static IReadOnlyList<string> All { get; } = ["read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", Other];

    /// <summary>One of them.</summary>
    public static string Of(string? kind) => kind is not null && All.Contains(kind) ? kind : Other;
}
