using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Hosting;

/// <summary>Every enum of the wire: one of its names, and nothing that merely amounts to one.</summary>
public sealed class WireEnumTests
{
    public static TheoryData<Type> Enums() => [.. typeof(WireJson).Assembly.GetTypes().Where(type => type.IsEnum && WireJson.Default.GetTypeInfo(type) is not null)];

    [Theory, MemberData(nameof(Enums))]
    public void A_name_is_read_and_anything_else_is_refused(Type type)
    {
        var values = Enum.GetValues(type).Cast<object>().ToList();
        var names = values.ConvertAll(value => JsonSerializer.SerializeToElement(value, type, WireJson.Default).GetString()!);
        names.Distinct().Count().ShouldBe(values.Count);
        foreach (var (value, name) in values.Zip(names)) Read(Quoted(name)).ShouldBe(value);
        var (first, last) = (names[0], names[^1]);
        var otherCase = first.Any(char.IsLower) ? first.ToUpperInvariant() : first.ToLowerInvariant();
        string[] texts = [$"{first}, {last}", $"{first},{first}", ",", "", "1", first + "x", " " + first, otherCase];
        foreach (var json in (string[])[.. texts.Select(Quoted), $"\"{first}\\u002c{last}\"", "1", "true", "{}"])
            Should.Throw<JsonException>(() => Read(json), json).Path.ShouldBe("$");

        object? Read(string json) => JsonSerializer.Deserialize(json, type, WireJson.Default);
        static string Quoted(string text) => JsonSerializer.Serialize(text);
    }
}
