using System.Text.Json;

namespace Tanjiren.Server.Tasks;

/// <summary>Enum members as the database stores them: the same words as the wire.</summary>
internal static class WireNames
{
    public static string Of<TEnum>(TEnum value) where TEnum : struct, Enum => Names<TEnum>.ByValue[value];

    public static TEnum Parse<TEnum>(string name) where TEnum : struct, Enum => Names<TEnum>.ByName[name];

    public static bool IsKnown<TEnum>(string name) where TEnum : struct, Enum => Names<TEnum>.ByName.ContainsKey(name);

    private static class Names<TEnum> where TEnum : struct, Enum
    {
        public static readonly Dictionary<TEnum, string> ByValue = Enum.GetValues<TEnum>().ToDictionary(
            v => v, v => JsonSerializer.SerializeToElement(v, typeof(TEnum), Protocol.WireJson.Default).GetString()!);

        public static readonly Dictionary<string, TEnum> ByName = ByValue.ToDictionary(p => p.Value, p => p.Key, StringComparer.Ordinal);
    }
}
