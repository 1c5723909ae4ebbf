using System.Buffers.Text;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Data;

/// <summary>
/// Keyset paging: a page starts after a row's key, so rows that come and go meanwhile neither repeat nor hide others. The cursor is opaque to
/// clients: base64url of the last key.
/// </summary>
internal readonly record struct Paging(string After, int Limit)
{
    /// <summary>Rows to ask for: one more than the page, to know whether there is another.</summary>
    public int Fetch => Limit + 1;

    /// <summary>A problem that names the bad parameter, or null.</summary>
    public static Problem? Read(int? limit, string? cursor, out Paging paging)
    {
        var errors = new FieldErrors();
        errors.Range(limit, 1, WireLimits.MaxPageSize, "limit");
        var after = "";
        if (cursor is not null && !TryDecode(cursor, out after)) errors.Add("cursor", "is not a cursor of this list");
        paging = new Paging(after, limit ?? WireLimits.DefaultPageSize);
        return errors.Any ? errors.ToProblem() : null;
    }

    public Page<TBody> ToPage<TRow, TBody>(IReadOnlyList<TRow> rows, Func<TRow, TBody> map, Func<TRow, string> key) => new()
    {
        Items = [.. rows.Take(Limit).Select(map)],
        NextCursor = rows.Count > Limit ? Base64Url.EncodeToString(Encoding.UTF8.GetBytes(key(rows[Limit - 1]))) : null,
    };

    private static bool TryDecode(string cursor, out string key)
    {
        key = "";
        if (cursor.Length is 0 or > 512 || !Base64Url.IsValid(cursor)) return false;
        key = Encoding.UTF8.GetString(Base64Url.DecodeFromChars(cursor));
        return !key.Any(char.IsControl);
    }
}
