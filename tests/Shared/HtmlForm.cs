using System.Net;
using System.Text.RegularExpressions;

namespace Tanjiren.Tests;

/// <summary>A form of our pages, as far as a browser reads one.</summary>
internal static partial class HtmlForm
{
    /// <summary>What a browser sends of the page's form when nobody touches it: its hidden fields, and of a choice what is chosen.</summary>
    public static Dictionary<string, string> Read(string html) =>
        Field().Matches(html).ToDictionary(m => m.Groups["name"].Value, m => WebUtility.HtmlDecode(m.Groups["value"].Value));

    [GeneratedRegex("""
        <input type="hidden" name="(?<name>[^"]+)" value="(?<value>[^"]*)">|<select name="(?<name>[^"]+)">(<option value="[^"]*">[^<]*</option>)*<option value="(?<value>[^"]*)" selected>
        """, RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Field();
}
