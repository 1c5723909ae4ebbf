using Tanjiren.Protocol;

namespace Tanjiren.Server.Governance;

/// <summary>What a rule does to a task that it matches.</summary>
internal enum RuleEffect
{
    /// <summary>It never runs.</summary>
    Forbid,
    SensitiveWrite,
    ProductionMutation,
    /// <summary>It starts when the window has closed.</summary>
    Wait,
    /// <summary>It is refused while the window is open.</summary>
    Refuse,
}

/// <summary>One version of an organization's doctrine, read and compiled: immutable, and dear enough to be kept.</summary>
internal sealed class Doctrine
{
    public static readonly Doctrine Empty = new([], PatternSet.Empty);

    private readonly Dictionary<string, string> _guarded = new(StringComparer.Ordinal);

    public Doctrine(IReadOnlyList<DoctrineRule> rules, PatternSet patterns)
    {
        (Rules, Patterns) = (rules, patterns);
        foreach (var rule in rules)
            foreach (var tag in rule.When.Tags ?? []) _guarded.TryAdd(tag, rule.Name);
    }

    /// <summary>In the order forbid, approvals, freeze, and of the document in each.</summary>
    public IReadOnlyList<DoctrineRule> Rules { get; }

    public PatternSet Patterns { get; }

    /// <summary>Machines that differ in other tags only are the same to it.</summary>
    public IEnumerable<string> NamedTags => _guarded.Keys;

    /// <summary>The first rule that names this tag; null: anybody who may tag a workstation may set it.</summary>
    public string? RuleNaming(string tag) => _guarded.GetValueOrDefault(tag);
}

internal sealed record DoctrineRule
{
    public required string Name { get; init; }
    public required RuleEffect Effect { get; init; }
    public required RuleCondition When { get; init; }
    /// <summary>The reason that the document gives.</summary>
    public string? Because { get; init; }
    /// <summary>Of a freeze.</summary>
    public FreezeWindow? Window { get; init; }
    /// <summary>Of an approval: whoever created the task may approve it.</summary>
    public bool SelfApproval { get; init; }
    /// <summary>Of an approval: retries and requeues of approved work need no new one.</summary>
    public bool Inherit { get; init; }
}

/// <summary>When a rule matches: all conditions that are given, each met by any one of its values. Null: that is not looked at.</summary>
internal sealed record RuleCondition
{
    public static readonly RuleCondition Always = new();

    public IReadOnlyList<TaskMode>? Modes { get; init; }
    /// <summary>Set by an admin on any machine that could run it; never a label that a machine announces about itself.</summary>
    public IReadOnlyList<string>? Tags { get; init; }
    public IReadOnlyList<Pattern>? Patterns { get; init; }
    public IReadOnlyList<Role>? Roles { get; init; }
    public IReadOnlyList<DoctrineOrigin>? Origins { get; init; }

    public bool IsAlways => this is { Modes: null, Tags: null, Patterns: null, Roles: null, Origins: null };
}
