using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Workstations;

/// <summary>Tags: what they may look like, and their stored form, a sorted JSON array without repeats.</summary>
internal static class TagRules
{
    public static bool IsValid(string? tag) =>
        tag is { Length: > 0 and <= WireLimits.MaxTagLength }
        && tag.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '.' or '_' or '-' or ':' or '/');

    public static void Check(FieldErrors errors, IReadOnlyList<string>? tags, string field)
    {
        if (tags is null) return;
        errors.Require(tags.Count <= WireLimits.MaxTags, field, $"has {tags.Count} tags; at most {WireLimits.MaxTags} are allowed");
        for (var i = 0; i < tags.Count && i < WireLimits.MaxTags; i++)
            errors.Require(IsValid(tags[i]), $"{field}[{i}]", $"must have from 1 to {WireLimits.MaxTagLength} lower case letters, digits and . _ - : /");
    }

    public static IReadOnlyList<string> Normalize(IEnumerable<string> tags) => [.. tags.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    public static string Format(IEnumerable<string> tags) => JsonSerializer.Serialize(Normalize(tags));

    public static IReadOnlyList<string> Parse(string json) => JsonSerializer.Deserialize<List<string>>(json) ?? [];

    /// <summary>
    /// A LIKE pattern (escape character <c>!</c>) that finds a tag in the stored form. Its quotes are part of it, so <c>gpu</c> does not find <c>gpu2</c>;
    /// <c>_</c> is a wildcard of LIKE and the only one that a valid tag can contain.
    /// </summary>
    public static string LikePattern(string tag) => $"%\"{tag.Replace("_", "!_", StringComparison.Ordinal)}\"%";
}
