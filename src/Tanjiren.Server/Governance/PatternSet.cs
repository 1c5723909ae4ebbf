using System.Text.RegularExpressions;

namespace Tanjiren.Server.Governance;

/// <summary>A pattern of a rule; <paramref name="Group"/> says which of the set's filters covers it.</summary>
internal sealed record Pattern(string Text, Regex Regex, int Group);

/// <summary>
/// The patterns of one document, matched in time linear in the text (<see cref="RegexOptions.NonBacktracking"/>). Most match nothing in most texts, so they
/// stand in groups: one expression that matches whatever any of the group does spares the others their look.
/// </summary>
internal sealed class PatternSet
{
    public static readonly PatternSet Empty = new();

    private const int GroupSize = 16;
    private const RegexOptions Options = RegexOptions.NonBacktracking | RegexOptions.CultureInvariant;

    /// <summary>
    /// Linear is not fast: a pattern with a thousand nested repeats takes seconds for 64 KiB, in a transaction that others wait for. Looked at only every
    /// thousand characters or so, so a short command never meets it.
    /// </summary>
    private static readonly TimeSpan MatchTimeout = TimeSpan.FromMilliseconds(250);

    private readonly List<Pattern> _patterns = [];
    private readonly Lazy<Regex?[]> _filters;

    public PatternSet() => _filters = new Lazy<Regex?[]>(() => [.. _patterns.Chunk(GroupSize).Select(Filter)]);

    /// <summary>All must be added before the first text is read.</summary>
    /// <exception cref="RegexParseException">It is no regular expression.</exception>
    /// <exception cref="NotSupportedException">It can't be matched in linear time: lookarounds, backreferences, atomic groups, very many repeats.</exception>
    public Pattern Add(string text)
    {
        var pattern = new Pattern(text, new Regex(text, Options, MatchTimeout), _patterns.Count / GroupSize);
        _patterns.Add(pattern);
        return pattern;
    }

    public Reading Read(string text) => new(_filters.Value, text);

    private static Regex? Filter(Pattern[] group)
    {
        if (group.Length < 3) return null;
        try
        {
            return new Regex(string.Join('|', group.Select(pattern => $"(?:{pattern.Text})")), Options, MatchTimeout);
        }
        catch (Exception e) when (e is RegexParseException or NotSupportedException)
        {
            // Too large together, or one ends in a comment of (?x), which takes in what follows. Each is matched by itself then.
            return null;
        }
    }

    /// <summary>One text before the patterns of a set. For one thread.</summary>
    internal sealed class Reading(Regex?[] filters, string text)
    {
        private readonly bool?[] _mayMatch = new bool?[filters.Length];

        /// <summary>Whether it matches; a pattern that takes too long counts as one that does: the stricter mistake.</summary>
        public bool Matches(Pattern pattern) => (_mayMatch[pattern.Group] ??= MayMatch(filters[pattern.Group])) && IsMatch(pattern.Regex);

        private bool MayMatch(Regex? filter) => filter is null || IsMatch(filter);

        private bool IsMatch(Regex regex)
        {
            try
            {
                return regex.IsMatch(text);
            }
            catch (RegexMatchTimeoutException)
            {
                return true;
            }
        }
    }
}
