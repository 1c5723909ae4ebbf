using System.Text.Json;

namespace Tanjiren.EndToEnd.Tests.CodingAgents.Models;

internal enum ModelDialect
{
    /// <summary>Anthropic's Messages.</summary>
    Messages,
    /// <summary>OpenAI's Responses.</summary>
    Responses,
    /// <summary>OpenAI's chat completions, which many others speak.</summary>
    Chat,
}

/// <summary>A tool that the request offers, with the properties of its arguments; none: it takes free text.</summary>
internal sealed record OfferedTool(string Name, bool IsFreeText, IReadOnlyDictionary<string, JsonElement> Properties);

/// <summary>A request to a model, as far as a script needs it.</summary>
internal sealed record ModelRequest(ModelDialect Dialect, string Model, bool Streams, IReadOnlyList<OfferedTool> Tools, int ToolAnswers, string Text)
{
    /// <summary>
    /// For a title, a topic, a suggestion: agents ask such things beside the conversation, with the prompt in it and without tools. A script that took them for turns would
    /// make the agent act twice.
    /// </summary>
    public bool IsAside => Tools.Count == 0;

    public static ModelRequest Read(ModelDialect dialect, string body)
    {
        using var document = JsonDocument.Parse(body);
        var root = document.RootElement.Clone();
        return new ModelRequest(dialect, StringOf(root, "model") ?? "model", root.TryGetProperty("stream", out var stream) && stream.ValueKind == JsonValueKind.True,
            [.. ListOf(root, "tools").Select(tool => ToolOf(dialect, tool)).OfType<OfferedTool>()], CountAnswers(dialect, root), body);
    }

    private static OfferedTool? ToolOf(ModelDialect dialect, JsonElement tool)
    {
        var named = dialect == ModelDialect.Chat && tool.TryGetProperty("function", out var function) ? function : tool;
        if (StringOf(named, "name") is not { } name) return null;
        var schema = named.TryGetProperty("input_schema", out var input) ? input : named.TryGetProperty("parameters", out var parameters) ? parameters : default;
        var properties = schema.ValueKind == JsonValueKind.Object && schema.TryGetProperty("properties", out var all) && all.ValueKind == JsonValueKind.Object
            ? all.EnumerateObject().ToDictionary(p => p.Name, p => p.Value) : [];
        return new OfferedTool(name, StringOf(tool, "type") == "custom" && properties.Count == 0, properties);
    }

    private static int CountAnswers(ModelDialect dialect, JsonElement root) => dialect switch
    {
        ModelDialect.Messages => ListOf(root, "messages").SelectMany(m => ListOf(m, "content")).Count(block => StringOf(block, "type") == "tool_result"),
        ModelDialect.Responses => ListOf(root, "input").Count(item => StringOf(item, "type") is "function_call_output" or "custom_tool_call_output"),
        _ => ListOf(root, "messages").Count(m => StringOf(m, "role") == "tool"),
    };

    private static IEnumerable<JsonElement> ListOf(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var list) && list.ValueKind == JsonValueKind.Array ? list.EnumerateArray() : [];

    private static string? StringOf(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var text) && text.ValueKind == JsonValueKind.String ? text.GetString() : null;
}
