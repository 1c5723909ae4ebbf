using Tanjiren.Protocol;

namespace Tanjiren.Server.Governance;

/// <summary>What a coding agent asks for, as rules see it. All of it is the coding agent's own word.</summary>
internal sealed record PermissionCase
{
    /// <summary>One of <see cref="ToolKinds"/>.</summary>
    public required string ToolKind { get; init; }
    public string? CodingAgent { get; init; }
    /// <summary>All that was told, for rules that deny or ask.</summary>
    public required string All { get; init; }
    /// <summary>What it would do, for rules that allow: a pattern must match each of these as a whole. Empty: nobody can say.</summary>
    public required IReadOnlyList<string> Whole { get; init; }
    /// <summary>There is more than was told.</summary>
    public bool IsCut { get; init; }
    /// <summary>Of the machine that it runs on.</summary>
    public required IReadOnlySet<string> Tags { get; init; }
    /// <summary>Of whose task it is; null: no member any more.</summary>
    public required Role? ActorRole { get; init; }
    public required IReadOnlyList<DoctrineOrigin> Origins { get; init; }
}

/// <param name="Verdict">Null: a person is asked.</param>
/// <param name="Rule">Which decided.</param>
/// <param name="Because">The reason that the rule gives, or why it could not be read.</param>
/// <param name="Version">Of the doctrine.</param>
internal sealed record PermissionDecision(PermissionVerdict? Verdict, string Rule, string? Because, int Version);

/// <summary>
/// Says what a doctrine answers to a coding agent, and by which rule. Of several that match deny counts before ask, and ask before allow; without any a person is asked. What
/// can't be read to its end allows nothing, and where it would deny, a person has to look. Pure.
/// </summary>
internal static class PermissionEvaluator
{
    private const int MaxWhole = 20;

    /// <summary>Null: no rule is about it.</summary>
    public static PermissionDecision? Evaluate(Doctrine doctrine, int version, PermissionCase asked, TimeSpan? budget = null)
    {
        var all = new Lazy<PatternSet.Reading?>(() => DoctrineEvaluator.IsRead(asked.All) ? doctrine.ToolPatterns.Read(asked.All, budget) : null);
        var whole = new Lazy<IReadOnlyList<PatternSet.Reading>>(() =>
            asked.Whole.Count > MaxWhole || !asked.Whole.All(DoctrineEvaluator.IsRead) ? [] : [.. asked.Whole.Select(text => doctrine.ToolPatterns.Read(text, budget))]);
        PermissionDecision? best = null;
        foreach (var rule in doctrine.ToolRules)
        {
            if (!MeetsOthers(rule, asked)) continue;
            var decision = rule.Effect == RuleEffect.AllowTool ? Allow(rule, whole, version) : DenyOrAsk(rule, asked, all, version);
            if (decision is not null && (best is null || StrictnessOf(decision) > StrictnessOf(best))) best = decision;
        }
        return best;
    }

    /// <summary>All conditions but the patterns. To allow, who is no member any more has no role, and each origin must be one of the rule's; otherwise what is not known meets the condition.</summary>
    private static bool MeetsOthers(DoctrineRule rule, PermissionCase asked)
    {
        var (when, allows) = (rule.When, rule.Effect == RuleEffect.AllowTool);
        if (when.Tools is not null && !when.Tools.Contains(asked.ToolKind)) return false;
        if (when.CodingAgents is not null && (asked.CodingAgent is { } agent ? !when.CodingAgents.Contains(agent) : allows)) return false;
        if (when.Tags is not null && !when.Tags.Any(asked.Tags.Contains)) return false;
        if (when.Roles is not null && (asked.ActorRole is { } role ? !when.Roles.Contains(role) : allows)) return false;
        return when.Origins is null || (allows ? asked.Origins.All(when.Origins.Contains) : asked.Origins.Any(when.Origins.Contains));
    }

    private static PermissionDecision? Allow(DoctrineRule rule, Lazy<IReadOnlyList<PatternSet.Reading>> whole, int version)
    {
        if (rule.When.Patterns is { } patterns
            && (whole.Value.Count == 0 || !whole.Value.All(reading => patterns.Any(pattern => reading.Matches(pattern) && reading.IsProven(pattern))))) return null;
        return new PermissionDecision(PermissionVerdict.Allow, rule.Name, rule.Because, version);
    }

    private static PermissionDecision? DenyOrAsk(DoctrineRule rule, PermissionCase asked, Lazy<PatternSet.Reading?> all, int version)
    {
        var asks = new PermissionDecision(null, rule.Name, rule.Because, version);
        var strict = rule.Effect == RuleEffect.DenyTool ? asks with { Verdict = PermissionVerdict.Deny } : asks;
        if (rule.When.Patterns is not { } patterns) return strict;
        if (all.Value is { } reading)
        {
            if (patterns.Any(pattern => reading.Matches(pattern) && reading.IsProven(pattern))) return strict;
            if (patterns.Any(reading.Matches)) return asks with { Because = "its patterns took too long to be read" };
        }
        return all.Value is null || asked.IsCut ? asks with { Because = "there is more than patterns read" } : null;
    }

    private static int StrictnessOf(PermissionDecision decision) => decision.Verdict switch
    {
        PermissionVerdict.Allow => 0,
        null => 1,
        _ => 2,
    };
}
