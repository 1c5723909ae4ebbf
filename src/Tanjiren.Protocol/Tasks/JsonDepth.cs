using System.Text.Json;

namespace Tanjiren.Protocol;

/// <summary>How deep JSON of somebody else's may be nested that is told inside of other things: readers and writers stop at 64.</summary>
public static class JsonDepth
{
    public const int Max = 16;

    public static bool IsShallow(JsonElement element, int left = Max) => element.ValueKind switch
    {
        JsonValueKind.Array => left > 0 && element.EnumerateArray().All(item => IsShallow(item, left - 1)),
        JsonValueKind.Object => left > 0 && element.EnumerateObject().All(member => IsShallow(member.Value, left - 1)),
        _ => true,
    };
}
