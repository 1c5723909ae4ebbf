using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Tanjiren.Agent.CodingAgents.Acp;

/// <summary>Messages to lines and back. Whatever the other side sends, nothing here throws.</summary>
internal static class AcpCodec
{
    /// <summary>Null: the line is no message. What is no text becomes replacement characters: one bad byte in a file must not cost a turn.</summary>
    public static RpcMessage? Read(ReadOnlySpan<byte> line)
    {
        if (!line.Contains((byte)'{')) return null;
        var message = Read(SurrogateEscapes.Repair(Encoding.UTF8.GetString(line)), AcpJson.Default.RpcMessage);
        return message is { Method: null, Id: null } ? null : message;
    }

    /// <summary>Null: it is absent, or not of that form.</summary>
    public static T? Read<T>(JsonElement? element, JsonTypeInfo<T> type) where T : class
    {
        if (element is not { ValueKind: JsonValueKind.Object } given) return null;
        try
        {
            return given.Deserialize(type);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }

    public static byte[] Write<T>(T message, JsonTypeInfo<T> type)
    {
        // JSON itself has no raw line feed in it.
        var json = JsonSerializer.SerializeToUtf8Bytes(message, type);
        return [.. json, (byte)'\n'];
    }

    /// <summary>The text of a block, or of the blocks of a list; other kinds of content have none.</summary>
    public static string TextOf(JsonElement? content)
    {
        if (content is not { } given) return "";
        if (given.ValueKind == JsonValueKind.Array) return string.Join('\n', given.EnumerateArray().Select(block => TextOf(block)).Where(text => text.Length > 0));
        if (StringOf(given, "type") == "content" && given.TryGetProperty("content", out var inner)) return TextOf(inner);
        return StringOf(given, "text") ?? "";
    }

    /// <summary>A member that is a string; null: it is not there, or something else.</summary>
    public static string? StringOf(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var member) ? StringOf(member) : null;

    /// <summary>Null: it is no string.</summary>
    public static string? StringOf(JsonElement element)
    {
        if (element.ValueKind != JsonValueKind.String) return null;
        try
        {
            return element.GetString();
        }
        catch (InvalidOperationException)
        {
            return null; // half of a surrogate pair
        }
    }

    private static T? Read<T>(string text, JsonTypeInfo<T> type) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(text, type);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
