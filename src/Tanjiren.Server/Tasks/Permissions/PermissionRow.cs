using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>A row of <c>permissions</c>, with what a query joins: the task's intent and class, the workstation's name, the answerer's address.</summary>
internal sealed record PermissionRow
{
    public string Id { get; init; } = "";
    public string OrganizationId { get; init; } = "";
    public string TaskId { get; init; } = "";
    public string StepId { get; init; } = "";
    public long Generation { get; init; }
    public string InstanceId { get; init; } = "";
    public string? CodingAgent { get; init; }
    public string? ToolCallId { get; init; }
    public string ToolKind { get; init; } = "";
    public string Title { get; init; } = "";
    public string Paths { get; init; } = "[]";
    public string? Arguments { get; init; }
    public int ArgumentsCut { get; init; }
    public string Options { get; init; } = "[]";
    public string Digest { get; init; } = "";
    public string State { get; init; } = "";
    public long AskedAt { get; init; }
    public long ExpiresAt { get; init; }
    public long? EndedAt { get; init; }
    public string? Verdict { get; init; }
    public string? OptionId { get; init; }
    public string? AnsweredBy { get; init; }
    public string? Rule { get; init; }
    public string? Reason { get; init; }
    public string? Told { get; init; }

    public string Intent { get; init; } = "";
    public string ApprovalClass { get; init; } = "none";
    public string? InstanceName { get; init; }
    public string? AnsweredByEmail { get; init; }

    public PermissionState ParsedState => WireNames.Parse<PermissionState>(State);
    public bool IsPending => State == "pending";
    public PermissionVerdict? ParsedVerdict => Verdict is null ? null : WireNames.Parse<PermissionVerdict>(Verdict);
    public IReadOnlyList<PermissionOptionBody> ParseOptions() => JsonSerializer.Deserialize(Options, WireJson.Default.IReadOnlyListPermissionOptionBody)!;

    /// <summary>What its machine is told.</summary>
    public PermissionStanding ToStanding(long now) => new()
    {
        Id = Id,
        State = ParsedState,
        Verdict = ParsedVerdict,
        OptionId = OptionId,
        Because = Because(),
        RemainingMs = IsPending ? Math.Max(0, ExpiresAt - now) : null,
    };

    public PermissionBody ToBody()
    {
        var paths = JsonSerializer.Deserialize(Paths, WireJson.Default.IReadOnlyListString)!;
        return new PermissionBody
        {
            Id = Id,
            TaskId = TaskId,
            Intent = Intent,
            StepId = StepId,
            LeaseGeneration = Generation,
            InstanceId = InstanceId,
            InstanceName = InstanceName,
            CodingAgent = CodingAgent,
            ApprovalClass = WireNames.Parse<ApprovalClass>(ApprovalClass),
            State = ParsedState,
            Tool = new PermissionTool
            {
                CallId = ToolCallId, Kind = ToolKind, Title = Title, Paths = paths.Count == 0 ? null : paths,
                Arguments = Arguments is null ? null : JsonSerializer.Deserialize(Arguments, WireJson.Default.JsonElement), ArgumentsCut = ArgumentsCut != 0,
            },
            Options = ParseOptions(),
            AskedAt = TaskMapping.Instant(AskedAt),
            ExpiresAt = TaskMapping.Instant(ExpiresAt),
            EndedAt = TaskMapping.Instant(EndedAt),
            Verdict = ParsedVerdict,
            OptionId = OptionId,
            AnsweredBy = AnsweredBy,
            Rule = Rule,
            Reason = Reason,
            Told = Told is null ? null : WireNames.Parse<PermissionTold>(Told),
        };
    }

    private string? Because()
    {
        var why = Reason is null ? "" : $": {Reason}";
        return State switch
        {
            "answered" when AnsweredBy is not null => $"answered by {AnsweredByEmail ?? AnsweredBy}{why}",
            "answered" => $"by the rule '{Rule}' of the doctrine{why}",
            "expired" => $"nobody answered within {(ExpiresAt - AskedAt) / 1000} s",
            "withdrawn" => "it is not asked any more",
            _ => null,
        };
    }
}
