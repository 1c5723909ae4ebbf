using System.Globalization;
using System.Text;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Governance;

/// <summary>A task as rules see it.</summary>
internal sealed record DoctrineCase
{
    public required TaskMode Mode { get; init; }
    /// <summary>The command, the prompt, or the questions.</summary>
    public required string Text { get; init; }
    /// <summary>Of all machines that could run it together: the strictest machine counts, and every condition on tags is met by any one tag.</summary>
    public required IReadOnlySet<string> Tags { get; init; }
    /// <summary>Null: whose task it is is no member any more, and every condition on roles is met.</summary>
    public required Role? ActorRole { get; init; }
    public required IReadOnlyList<DoctrineOrigin> Origins { get; init; }
    public required DateTimeOffset Now { get; init; }

    /// <summary>The command of a task in that mode; of the others the prompt, and after it the text of each question on a line of its own.</summary>
    public static string TextOf(CreateTaskRequest spec) => spec.Mode is null or TaskMode.Command ? TextOf(spec.Command)
        : string.Join('\n', (spec.Questions ?? []).Select(q => q.Text).Prepend(spec.PromptText).Where(text => !string.IsNullOrEmpty(text)));

    /// <summary>Arguments are joined by single spaces: what a pattern is meant for is written like a command line.</summary>
    public static string TextOf(CommandSpec? command) => command?.Shell ?? string.Join(' ', command?.Argv ?? []);

    public static IReadOnlySet<string> Union(IEnumerable<IEnumerable<string>> targetTags) => targetTags.SelectMany(tags => tags).ToHashSet(StringComparer.Ordinal);
}

/// <summary>Says what a doctrine makes of a task, and why. Pure; it throws for nothing that was read without faults.</summary>
internal static class DoctrineEvaluator
{
    /// <summary>Longer text is read by no pattern, in bytes of UTF-8 (64 KiB).</summary>
    internal const int MaxTextBytes = 64 * 1024;

    public static DoctrineDecision Evaluate(Doctrine doctrine, int version, DoctrineCase task, TimeSpan? budget = null) =>
        Evaluate(doctrine, version, task, IsRead(task.Text) ? doctrine.Patterns.Read(task.Text, budget) : null);

    /// <summary>Whether patterns read it.</summary>
    public static bool IsRead(string text) => Encoding.UTF8.GetByteCount(text) <= MaxTextBytes;

    /// <summary><paramref name="patterns"/>: a reading of the task's text; null when patterns do not read it.</summary>
    public static DoctrineDecision Evaluate(Doctrine doctrine, int version, DoctrineCase task, PatternSet.Reading? patterns)
    {
        var findings = new List<DoctrineFinding>();
        var (highest, forbidden, refuses, selfApproval, inherit) = (ApprovalClass.None, false, false, true, true);
        DateTimeOffset? frozenUntil = null;
        foreach (var rule in doctrine.Rules)
        {
            if (Match(rule, task, patterns, out var openUntil, out var unread) is not { } met) continue;

            // A text that was not read is no way around a pattern that forbids, and no proof of guilt either: a person has to look.
            var effect = rule.Effect == RuleEffect.Forbid && unread ? RuleEffect.ProductionMutation : rule.Effect;
            switch (effect)
            {
                case RuleEffect.Forbid:
                    forbidden = true;
                    break;
                case RuleEffect.Wait or RuleEffect.Refuse:
                    if (frozenUntil is null || openUntil > frozenUntil) frozenUntil = openUntil;
                    refuses |= effect == RuleEffect.Refuse;
                    break;
                default:
                    var asked = effect == RuleEffect.ProductionMutation ? ApprovalClass.ProductionMutation : ApprovalClass.SensitiveWrite;
                    if (asked > highest) highest = asked;
                    selfApproval &= rule.SelfApproval;
                    inherit &= rule.Inherit;
                    break;
            }
            findings.Add(new DoctrineFinding(rule.Name, NameOf(effect), Because(rule, met, openUntil)));
        }
        return new DoctrineDecision(highest, findings, forbidden, frozenUntil, refuses, version)
        {
            SelfApproval = highest != ApprovalClass.None && selfApproval,
            Inherit = highest != ApprovalClass.None && inherit,
        };
    }

    internal static string NameOf(RuleEffect effect) => effect switch
    {
        RuleEffect.Forbid => "forbid",
        RuleEffect.SensitiveWrite => "sensitive_write",
        RuleEffect.ProductionMutation => "production_mutation",
        RuleEffect.Wait => "wait",
        _ => "refuse",
    };

    /// <summary>What met each condition; null when one is not met. Window and patterns come last: all others cost nothing.</summary>
    private static List<string>? Match(DoctrineRule rule, DoctrineCase task, PatternSet.Reading? patterns, out DateTimeOffset? openUntil, out bool unread)
    {
        var when = rule.When;
        (openUntil, unread) = (null, false);
        if (when.Modes is not null && !when.Modes.Contains(task.Mode)) return null;
        if (when.Roles is not null && task.ActorRole is { } role && !when.Roles.Contains(role)) return null;
        var origin = DoctrineOrigin.Request;
        if (when.Origins is not null && !TryFirst(when.Origins, task.Origins.Contains, out origin)) return null;
        var tag = "";
        if (when.Tags is not null && !TryFirst(when.Tags, task.Tags.Contains, out tag!)) return null;
        if (rule.Window is not null && (openUntil = rule.Window.OpenUntil(task.Now)) is null) return null;
        Pattern? pattern = null;
        if (when.Patterns is not null && patterns is not null && !TryFirst(when.Patterns, patterns.Matches, out pattern)) return null;
        // One of several may be proven where the first only counts as matching.
        if (pattern is not null && !patterns!.IsProven(pattern) && TryFirst(when.Patterns!, other => patterns.Matches(other) && patterns.IsProven(other), out var proven)) pattern = proven;
        unread = when.Patterns is not null && (pattern is null || !patterns!.IsProven(pattern));

        var met = new List<string>();
        if (when.Modes is not null) met.Add($"the mode is {Lower(task.Mode)}");
        if (when.Roles is not null) met.Add(task.ActorRole is { } actor ? $"its creator's role is {Lower(actor)}" : "its creator is no member any more");
        if (when.Origins is not null) met.Add(origin == DoctrineOrigin.Request ? "somebody asks for it" : $"a {Lower(origin)} makes it");
        if (when.Tags is not null) met.Add($"a workstation that could run it is tagged {tag}");
        if (pattern is not null && unread) met.Add($"its text was not read by all patterns within {PatternSet.Budget.TotalMilliseconds:0} ms");
        else if (pattern is not null) met.Add($"its text matches {pattern.Text}");
        else if (when.Patterns is not null) met.Add($"its text is longer than the {MaxTextBytes / 1024} KiB that patterns read");
        if (met.Count == 0) met.Add("it is for every task");
        return met;
    }

    private static string Because(DoctrineRule rule, List<string> met, DateTimeOffset? openUntil)
    {
        var text = string.Join("; ", met);
        if (openUntil is { } until) text = $"frozen until {until.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture)}; {text}";
        return rule.Because is null ? text : $"{text}: {rule.Because}";
    }

    private static bool TryFirst<T>(IReadOnlyList<T> values, Func<T, bool> meets, out T? found)
    {
        foreach (var value in values)
        {
            if (!meets(value)) continue;
            found = value;
            return true;
        }
        found = default;
        return false;
    }

    private static string Lower<TEnum>(TEnum value) where TEnum : struct, Enum => value.ToString().ToLowerInvariant();
}
