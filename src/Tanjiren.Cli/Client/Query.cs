using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

internal static class Query
{
    /// <summary>The query of a URL from the parts that have a value.</summary>
    public static string Of(params ReadOnlySpan<(string Name, string? Value)> parts)
    {
        var query = new System.Text.StringBuilder();
        foreach (var (name, value) in parts)
            if (!string.IsNullOrEmpty(value))
                query.Append(query.Length == 0 ? '?' : '&').Append(name).Append('=').Append(Uri.EscapeDataString(value));
        return query.ToString();
    }

    /// <summary>Every page of a list, or the first <paramref name="wanted"/> things of it; the cursor says whether there are more.</summary>
    public static async Task<Page<T>> PagesAsync<T>(Func<int, string?, Task<Page<T>>> read, int wanted = int.MaxValue)
    {
        var all = new List<T>();
        string? cursor = null;
        do
        {
            var page = await read(Math.Min(wanted - all.Count, WireLimits.MaxPageSize), cursor);
            all.AddRange(page.Items);
            cursor = page.NextCursor;
        }
        while (cursor is not null && all.Count < wanted);
        return new Page<T> { Items = all, NextCursor = cursor };
    }
}
