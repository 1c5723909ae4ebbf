using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>Enums as <c>lower_snake_case</c>.</summary>
public sealed class SnakeCaseEnum<T>() : WireEnum<T>(JsonNamingPolicy.SnakeCaseLower)
    where T : struct, Enum;

/// <summary>Enums as <c>camelCase</c>.</summary>
public sealed class CamelCaseEnum<T>() : WireEnum<T>(JsonNamingPolicy.CamelCase)
    where T : struct, Enum;

/// <summary>Enums as <c>UPPER_SNAKE_CASE</c>.</summary>
public sealed class UpperCaseEnum<T>() : WireEnum<T>(JsonNamingPolicy.SnakeCaseUpper)
    where T : struct, Enum;

/// <summary>
/// An enum as exactly one of its names. The framework's converter also reads names of the code, in any case, and <c>"a, b"</c> as the sum of two numbers, which is another value or none.
/// </summary>
public abstract class WireEnum<T> : JsonConverter<T>
    where T : struct, Enum
{
    private readonly Dictionary<T, JsonEncodedText> _names;
    private readonly Dictionary<string, T> _values;

    protected WireEnum(JsonNamingPolicy policy)
    {
        _names = Enum.GetValues<T>().ToDictionary(value => value, value => JsonEncodedText.Encode(NameOf(value.ToString(), policy)));
        _values = _names.ToDictionary(pair => pair.Value.Value, pair => pair.Key, StringComparer.Ordinal);
    }

    /// <exception cref="JsonException">The text is no name of <typeparamref name="T"/>, or it is no text.</exception>
    public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.TokenType == JsonTokenType.String && _values.TryGetValue(reader.GetString()!, out var value) ? value : throw new JsonException();

    /// <exception cref="JsonException">The value has no name.</exception>
    public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options) =>
        writer.WriteStringValue(_names.TryGetValue(value, out var name) ? name : throw new JsonException());

    private static string NameOf(string member, JsonNamingPolicy policy) =>
        typeof(T).GetField(member)!.GetCustomAttribute<JsonStringEnumMemberNameAttribute>()?.Name ?? policy.ConvertName(member);
}
