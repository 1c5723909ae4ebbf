using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Tanjiren.Server.Governance;

/// <summary>A pattern of a rule; <paramref name="group"/> says which of the set's filters covers it.</summary>
internal sealed class Pattern(string text, int group)
{
    // Making one takes some 20 ms, a thousand times what the parser alone takes; most are never needed, because no text passes their filter.
    private readonly Lazy<Regex> _regex = new(() => PatternSet.Linear(text));

    public string Text => text;

    public int Group => group;

    public Regex Regex => _regex.Value;

    public bool IsMade => _regex.IsValueCreated;

    /// <summary>False for lookarounds, backreferences, atomic groups and very many repeats.</summary>
    public bool IsLinear()
    {
        try
        {
            return Regex is not null;
        }
        catch (NotSupportedException)
        {
            return false;
        }
    }
}

/// <summary>
/// The patterns of one document, matched in time linear in the text (<see cref="RegexOptions.NonBacktracking"/>). Most match nothing in most texts, so they
/// stand in groups: one expression that matches whatever any of the group does spares the others their look, and usually their making.
/// </summary>
internal sealed class PatternSet
{
    public static readonly PatternSet Empty = new();

    /// <summary>
    /// For one text before all patterns, their making included. What was begun within it is ended, so the whole takes at most the making of one filter and
    /// <see cref="MatchTimeout"/> more.
    /// </summary>
    public static readonly TimeSpan Budget = TimeSpan.FromMilliseconds(500);

    private const int GroupSize = 16;

    /// <summary>
    /// Linear is not fast: a pattern with a thousand nested repeats takes seconds for 64 KiB. Looked at only every thousand characters or so, so a short
    /// command never meets it.
    /// </summary>
    private static readonly TimeSpan MatchTimeout = TimeSpan.FromMilliseconds(250);

    private readonly List<Pattern> _patterns = [];
    private IReadOnlyList<Lazy<Regex?>> _filters = [];

    public int Count => _patterns.Count;

    /// <summary>Whether <see cref="Compile"/> has nothing to make any more.</summary>
    public bool IsCompiled => _filters.All(filter => filter.IsValueCreated);

    /// <exception cref="RegexParseException">It is no regular expression.</exception>
    public static void Check(string text) => _ = new Regex(text, RegexOptions.CultureInvariant, MatchTimeout);

    /// <summary>To be followed by <see cref="Close"/>.</summary>
    /// <exception cref="RegexParseException">It is no regular expression.</exception>
    public Pattern Add(string text)
    {
        Check(text);
        var pattern = new Pattern(text, _patterns.Count / GroupSize);
        _patterns.Add(pattern);
        return pattern;
    }

    /// <summary>No pattern comes any more. The filters are made when the first text needs them, or by <see cref="Compile"/>.</summary>
    public void Close() => _filters = [.. _patterns.Chunk(GroupSize).Select(group => new Lazy<Regex?>(() => Filter(group)))];

    /// <summary>
    /// Makes the filters, some 40 ms each, and returns the patterns that can't be matched in linear time: what makes one with its whole group needs no look at
    /// each. Not for a transaction.
    /// </summary>
    public IReadOnlyList<Pattern> Compile() => [.. _patterns.Where(pattern => _filters[pattern.Group].Value is null && !pattern.IsLinear())];

    /// <summary>One text; <paramref name="budget"/> is <see cref="Budget"/> but for tests. <paramref name="onlyMade"/>: makes no expression, and tells if one is missing.</summary>
    public Reading Read(string text, TimeSpan? budget = null, bool onlyMade = false) => new(_filters, text, budget ?? Budget, onlyMade);

    internal static Regex Linear(string text) => new(text, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, MatchTimeout);

    private static Regex? Filter(Pattern[] group)
    {
        try
        {
            return Linear(string.Join('|', group.Select(pattern => $"(?:{pattern.Text})")));
        }
        catch (Exception e) when (e is RegexParseException or NotSupportedException)
        {
            // One of them is at fault, they are too large together, or one ends in a comment of (?x), which takes in what follows. Without a filter each is
            // matched by itself.
            return null;
        }
    }

    /// <summary>One text before the patterns of a set. It looks at each pattern once, however often it is asked. For any thread.</summary>
    internal sealed class Reading(IReadOnlyList<Lazy<Regex?>> filters, string text, TimeSpan budget, bool onlyMade)
    {
        private readonly Lock _gate = new();
        private readonly bool?[] _mayMatch = new bool?[filters.Count];
        private readonly Dictionary<Pattern, bool> _matches = [];
        private readonly HashSet<Pattern> _tooSlow = [];
        private TimeSpan _spent;
        private bool _isOver;
        private bool _isClosed;

        /// <summary>Whether something counts as a match that was not read to its end: the budget is spent, or one pattern took too long.</summary>
        public bool IsSpent => _isOver || _tooSlow.Count > 0;

        /// <summary>Whether an expression was needed that is not made yet, or not looked at: what was said since is worth nothing.</summary>
        public bool IsLacking { get; private set; }

        /// <summary>
        /// What was read so far, for those who can't wait: it looks at nothing more, and tells if a pattern is needed that was not looked at. Null while somebody reads on.
        /// </summary>
        public Reading? SoFar()
        {
            if (!_gate.TryEnter()) return null;
            try
            {
                var known = new Reading(filters, text, budget, onlyMade) { IsLacking = IsLacking, _isOver = _isOver, _isClosed = true };
                _mayMatch.CopyTo(known._mayMatch, 0);
                foreach (var (pattern, matches) in _matches) known._matches[pattern] = matches;
                known._tooSlow.UnionWith(_tooSlow);
                return known;
            }
            finally
            {
                _gate.Exit();
            }
        }

        /// <summary>Whether it matches; what takes too long, or is not looked at any more, counts as matching: the stricter mistake.</summary>
        public bool Matches(Pattern pattern)
        {
            lock (_gate)
            {
                if (_matches.TryGetValue(pattern, out var known)) return known;
                if (_tooSlow.Contains(pattern) || IsOver()) return true;
                if (_isClosed) return _mayMatch[pattern.Group] != false && (IsLacking = true);
                var began = Stopwatch.GetTimestamp();
                _mayMatch[pattern.Group] ??= MayMatch(filters[pattern.Group]);
                _spent += Stopwatch.GetElapsedTime(began);
                if (_mayMatch[pattern.Group] == false) return _matches[pattern] = false;
                if (IsOver()) return true;
                began = Stopwatch.GetTimestamp();
                var matches = IsMatch(pattern);
                _spent += Stopwatch.GetElapsedTime(began);
                if (IsLacking) return true;
                // No proof that it matches: the machine may have been busy.
                if (matches is null) return _tooSlow.Add(pattern);
                return _matches[pattern] = matches.Value;
            }
        }

        /// <summary>Whether it was read, and matches.</summary>
        public bool IsProven(Pattern pattern)
        {
            lock (_gate) return _matches.GetValueOrDefault(pattern);
        }

        private bool IsOver() => IsLacking || (_isOver = _isOver || _spent >= budget);

        private bool MayMatch(Lazy<Regex?> filter)
        {
            if (onlyMade && !filter.IsValueCreated) return IsLacking = true;
            return filter.Value is not { } regex || IsMatch(regex) != false;
        }

        private bool? IsMatch(Pattern pattern)
        {
            if (onlyMade && !pattern.IsMade) return IsLacking = true;
            try
            {
                return IsMatch(pattern.Regex);
            }
            catch (NotSupportedException)
            {
                // A document that another release took; what can't be looked at counts as matching here too.
                return true;
            }
        }

        /// <summary>Null: it took too long.</summary>
        private bool? IsMatch(Regex regex)
        {
            try
            {
                return regex.IsMatch(text);
            }
            catch (RegexMatchTimeoutException)
            {
                return null;
            }
        }
    }
}
