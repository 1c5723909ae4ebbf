using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>What patterns of the doctrine read of a tool. Pure.</summary>
internal static class ToolText
{
    /// <summary>
    /// All of it, for rules that deny or ask: what they look for may stand anywhere. Title, every text in the arguments (a list of texts also as one line), paths; a line each.
    /// </summary>
    public static string All(PermissionTool tool)
    {
        var lines = new List<string>();
        if (tool.Title is { } title) lines.Add(title);
        if (tool.Arguments is { } arguments) Collect(arguments, lines);
        lines.AddRange(tool.Paths ?? []);
        return string.Join('\n', lines);
    }

    /// <summary>
    /// What it would do, for rules that allow, of which a pattern must match the whole: the command, the address, each of the paths, or else the title. None: that can't be said,
    /// because there is more than was told.
    /// </summary>
    public static IReadOnlyList<string> Whole(PermissionTool tool)
    {
        if (tool.ArgumentsCut) return [];
        if (tool.Arguments is { ValueKind: JsonValueKind.Object } arguments)
        {
            if (arguments.TryGetProperty("command", out var command)) return Line(command) is { } line ? [line] : [];
            if (arguments.TryGetProperty("url", out var url)) return Line(url) is { } address ? [address] : [];
        }
        return tool.Paths is { Count: > 0 } paths ? paths : tool.Title is { } title ? [title] : [];
    }

    /// <summary>Whether every text in it is one: half of a surrogate pair is none.</summary>
    public static bool IsReadable(JsonElement element)
    {
        try
        {
            Collect(element, []);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    private static void Collect(JsonElement element, List<string> lines)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                lines.Add(element.GetString()!);
                break;
            case JsonValueKind.Array:
                if (element.GetArrayLength() > 1 && Line(element) is { } line) lines.Add(line);
                foreach (var item in element.EnumerateArray()) Collect(item, lines);
                break;
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject())
                {
                    // Also the names are read: some of them are the argument.
                    lines.Add(member.Name);
                    Collect(member.Value, lines);
                }
                break;
        }
    }

    /// <summary>A text, or texts joined by single spaces as a doctrine reads a command; null: it is neither.</summary>
    private static string? Line(JsonElement element)
    {
        if (element.ValueKind == JsonValueKind.String) return element.GetString();
        if (element.ValueKind != JsonValueKind.Array || element.GetArrayLength() == 0 || element.EnumerateArray().Any(item => item.ValueKind != JsonValueKind.String)) return null;
        return string.Join(' ', element.EnumerateArray().Select(item => item.GetString()));
    }
}
