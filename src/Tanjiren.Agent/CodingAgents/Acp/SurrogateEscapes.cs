using System.Globalization;
using System.Text;

namespace Tanjiren.Agent.CodingAgents.Acp;

/// <summary>
/// JavaScript may cut a string in the middle of a character, and writes the half as an escape that no reader of JSON here takes. Streamed words are cut like that: rather a
/// replacement character than a message that is lost.
/// </summary>
internal static class SurrogateEscapes
{
    private const int EscapeLength = 6;

    /// <summary>The same JSON with every half of a pair replaced.</summary>
    public static string Repair(string json)
    {
        if (!json.Contains(@"\ud", StringComparison.OrdinalIgnoreCase)) return json;
        var repaired = new StringBuilder(json.Length);
        for (var i = 0; i < json.Length;)
        {
            var length = json[i] != '\\' ? 1 : 2;
            if (UnitAt(json, i) is { } unit && char.IsSurrogate(unit))
            {
                var isPair = char.IsHighSurrogate(unit) && UnitAt(json, i + EscapeLength) is { } next && char.IsLowSurrogate(next);
                length = isPair ? 2 * EscapeLength : EscapeLength;
                if (!isPair)
                {
                    repaired.Append(@"\ufffd");
                    i += length;
                    continue;
                }
            }
            length = Math.Min(length, json.Length - i);
            repaired.Append(json, i, length);
            i += length;
        }
        return repaired.ToString();
    }

    /// <summary>The UTF-16 unit that an escape at this place stands for; null: there is none.</summary>
    private static char? UnitAt(string json, int at) =>
        at + EscapeLength <= json.Length && json[at] == '\\' && json[at + 1] == 'u'
        && ushort.TryParse(json.AsSpan(at + 2, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var unit) ? (char)unit : null;
}
