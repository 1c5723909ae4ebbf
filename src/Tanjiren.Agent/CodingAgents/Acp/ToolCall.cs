using System.Text.Json;

namespace Tanjiren.Agent.CodingAgents.Acp;

/// <summary>A tool call as far as it is known. Agents tell of one in any order: twice, by updates alone, or not before they ask for permission.</summary>
internal sealed record ToolCall(string Id)
{
    public string? Title { get; init; }
    public string? Kind { get; init; }
    public string? Status { get; init; }
    public IReadOnlyList<ToolLocation?> Locations { get; init; } = [];
    public JsonElement? Content { get; init; }
    public JsonElement? Input { get; init; }

    public bool IsOver => Status is "completed" or "failed";

    /// <summary>For people, one line.</summary>
    public string Words => Title ?? Kind ?? Id;

    /// <summary>But for input and content.</summary>
    public bool LooksLike(ToolCall other) => (Title, Kind, Status) == (other.Title, other.Kind, other.Status) && Locations.SequenceEqual(other.Locations);

    public ToolCall With(ToolCallFields fields) => this with
    {
        Title = fields.Title ?? Title,
        Kind = fields.ToolKind ?? Kind,
        Status = fields.Status ?? Status,
        Locations = fields.Locations ?? Locations,
        Content = fields.Content ?? Content,
        Input = fields.RawInput ?? Input,
    };
}

/// <summary>A request for permission that waits for its answer.</summary>
/// <param name="Id">Of the agent's request.</param>
/// <param name="Tool">What it wants to use.</param>
/// <param name="Options">What it offers to be answered.</param>
internal sealed record PermissionQuestion(JsonElement Id, ToolCall Tool, IReadOnlyList<PermissionOption> Options)
{
    /// <summary>The id as text, which tells it from the others that wait.</summary>
    public string Key { get; } = Id.GetRawText();

    /// <summary>
    /// The option for a verdict, by its kind and never by id or place, which differ by agent and request. Not one that holds for longer than this question: agents write such
    /// into files that outlive the step. Null: there is none, and the request is answered as cancelled.
    /// </summary>
    public PermissionOption? Choose(PermissionVerdict verdict)
    {
        var kind = verdict == PermissionVerdict.Allow ? "allow_once" : "reject_once";
        return Options.FirstOrDefault(o => o.Kind == kind && o.OptionId is not null);
    }
}
