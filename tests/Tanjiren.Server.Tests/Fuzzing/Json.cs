using System.Text;
using System.Text.Json;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>
/// JSON as text that may be wrong: an object may repeat a name, and a leaf is whatever text stands there. No library's model can hold what the fuzzer sends.
/// </summary>
internal abstract record Json
{
    public static Json Of(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => new JsonObject([.. element.EnumerateObject().Select(p => (Quote(p.Name), Of(p.Value)))]),
        JsonValueKind.Array => new JsonArray([.. element.EnumerateArray().Select(Of)]),
        _ => new JsonLeaf(element.GetRawText()),
    };

    public static Json Text(string value) => new JsonLeaf(Quote(value));

    public static string Quote(string value) => JsonSerializer.Serialize(value);

    public abstract void Write(StringBuilder to);

    public sealed override string ToString()
    {
        var text = new StringBuilder();
        Write(text);
        return text.ToString();
    }

    /// <summary>This and everything below it, with the way to replace each.</summary>
    public IEnumerable<JsonPlace> Places()
    {
        if (this is JsonObject o)
        {
            for (var i = 0; i < o.Members.Count; i++)
            {
                var at = i;
                yield return new JsonPlace(o.Members[at].Name.Trim('"'), o.Members[at].Value, value => o.Members[at] = (o.Members[at].Name, value));
                foreach (var below in o.Members[at].Value.Places()) yield return below;
            }
        }
        else if (this is JsonArray a)
        {
            for (var i = 0; i < a.Items.Count; i++)
            {
                var at = i;
                yield return new JsonPlace("[]", a.Items[at], value => a.Items[at] = value);
                foreach (var below in a.Items[at].Places()) yield return below;
            }
        }
    }
}

/// <summary>One value in a tree: its name (<c>[]</c> in an array) and how to put another in its place.</summary>
internal sealed record JsonPlace(string Name, Json Value, Action<Json> Replace);

/// <summary>Names are JSON text, quotes included.</summary>
internal sealed record JsonObject(List<(string Name, Json Value)> Members) : Json
{
    public Json? this[string name]
    {
        get => Members.FirstOrDefault(m => m.Name == Quote(name)).Value;
        set
        {
            Members.RemoveAll(m => m.Name == Quote(name));
            if (value is not null) Members.Add((Quote(name), value));
        }
    }

    public override void Write(StringBuilder to)
    {
        to.Append('{');
        for (var i = 0; i < Members.Count; i++)
        {
            if (i > 0) to.Append(',');
            to.Append(Members[i].Name).Append(':');
            Members[i].Value.Write(to);
        }
        to.Append('}');
    }
}

internal sealed record JsonArray(List<Json> Items) : Json
{
    public override void Write(StringBuilder to)
    {
        to.Append('[');
        for (var i = 0; i < Items.Count; i++)
        {
            if (i > 0) to.Append(',');
            Items[i].Write(to);
        }
        to.Append(']');
    }
}

internal sealed record JsonLeaf(string Raw) : Json
{
    public bool IsText => Raw.StartsWith('"');

    public bool IsNumber => Raw.Length > 0 && (char.IsAsciiDigit(Raw[0]) || Raw[0] == '-');

    /// <summary>The text of a string that is valid JSON, else null.</summary>
    public string? Words => IsText && TryRead(Raw) is { } text ? text : null;

    public override void Write(StringBuilder to) => to.Append(Raw);

    private static string? TryRead(string raw)
    {
        try
        {
            return JsonSerializer.Deserialize<string>(raw);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
