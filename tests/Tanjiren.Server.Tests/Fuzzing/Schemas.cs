using System.Text.Json;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>Reads the document's schemas, and makes values that fit one.</summary>
internal sealed class Schemas(JsonElement document)
{
    /// <summary>The schema behind references and behind "this or null".</summary>
    public JsonElement Resolve(JsonElement schema)
    {
        while (true)
        {
            if (schema.TryGetProperty("$ref", out var reference))
                schema = document.GetProperty("components").GetProperty("schemas").GetProperty(reference.GetString()!.Split('/')[^1]);
            else if (schema.TryGetProperty("oneOf", out var choices))
                schema = choices.EnumerateArray().First(c => !(c.TryGetProperty("type", out var type) && type.ValueKind == JsonValueKind.String && type.GetString() == "null"));
            else return schema;
        }
    }

    /// <summary>The declared members of an object; none for any other.</summary>
    public IReadOnlyList<(string Name, JsonElement Schema)> Properties(JsonElement schema) =>
        Resolve(schema).TryGetProperty("properties", out var properties) ? [.. properties.EnumerateObject().Select(p => (p.Name, p.Value))] : [];

    public IReadOnlyList<string> Words(JsonElement schema) =>
        Resolve(schema).TryGetProperty("enum", out var words) ? [.. words.EnumerateArray().Where(w => w.ValueKind == JsonValueKind.String).Select(w => w.GetString()!)] : [];

    /// <summary>A plausible value; <paramref name="known"/> may know a better one for a string of this name.</summary>
    public Json Value(JsonElement schema, string name, Random random, Func<string, string?> known, int depth = 0)
    {
        var resolved = Resolve(schema);
        if (Words(resolved) is { Count: > 0 } words) return Json.Text(words[random.Next(words.Count)]);
        return TypeOf(resolved) switch
        {
            "object" when resolved.TryGetProperty("additionalProperties", out var values) && values.ValueKind == JsonValueKind.Object && Properties(resolved).Count == 0 =>
                new JsonObject([("\"key\"", Value(values, "key", random, known, depth + 1))]),
            "object" => new JsonObject([.. Properties(resolved).Where(p => depth < 5 && (IsRequired(resolved, p.Name) || random.Next(2) == 0))
                .Select(p => (Json.Quote(p.Name), Value(p.Schema, p.Name, random, known, depth + 1)))]),
            "array" => new JsonArray([.. Enumerable.Range(0, depth < 5 ? random.Next(3) : 0).Select(_ => Value(resolved.GetProperty("items"), name, random, known, depth + 1))]),
            "integer" => new JsonLeaf(random.Next(0, 5).ToString()),
            "number" => new JsonLeaf("1.5"),
            "boolean" => new JsonLeaf(random.Next(2) == 0 ? "true" : "false"),
            _ => Json.Text(known(name) ?? Format(resolved) switch
            {
                "date-time" => "2026-01-02T03:04:05.678Z",
                "byte" => "b2s=",
                _ => "word" + random.Next(1000),
            }),
        };
    }

    private static bool IsRequired(JsonElement schema, string name) =>
        schema.TryGetProperty("required", out var required) && required.EnumerateArray().Any(r => r.GetString() == name);

    private static string? Format(JsonElement schema) => schema.TryGetProperty("format", out var format) ? format.GetString() : null;

    private static string TypeOf(JsonElement schema)
    {
        if (!schema.TryGetProperty("type", out var type)) return schema.TryGetProperty("properties", out _) ? "object" : "string";
        return type.ValueKind == JsonValueKind.Array ? type.EnumerateArray().Select(t => t.GetString()!).First(t => t != "null") : type.GetString()!;
    }
}
