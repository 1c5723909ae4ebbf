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
    /// <summary>A coding agent may use the tool: no person is asked.</summary>
    AllowTool,
    /// <summary>It may not, and no person is asked.</summary>
    DenyTool,
    /// <summary>A person is asked, whatever other rules allow.</summary>
    AskForTool,
}

/// <summary>One version of an organization's doctrine, read and compiled: immutable, and dear enough to be kept.</summary>
internal sealed class Doctrine
{
    public static readonly Doctrine Empty = new([], PatternSet.Empty);

    private readonly Dictionary<string, string> _guarded = new(StringComparer.Ordinal);

    public Doctrine(IReadOnlyList<DoctrineRule> rules, PatternSet patterns, IReadOnlyList<DoctrineRule>? toolRules = null, PatternSet? toolPatterns = null)
    {
        (Rules, Patterns, ToolRules, ToolPatterns) = (rules, patterns, toolRules ?? [], toolPatterns ?? PatternSet.Empty);
        foreach (var rule in Rules.Concat(ToolRules))
            foreach (var tag in rule.When.Tags ?? []) _guarded.TryAdd(tag, rule.Name);
    }

    /// <summary>In the order forbid, approvals, freeze, and of the document in each.</summary>
    public IReadOnlyList<DoctrineRule> Rules { get; }

    public PatternSet Patterns { get; }

    /// <summary>Of <c>permissions</c>, in the order of the document: about what coding agents ask while they run, and never about a task.</summary>
    public IReadOnlyList<DoctrineRule> ToolRules { get; }

    /// <summary>Theirs. Apart from the others: a task's text need not pass filters that are for tools.</summary>
    public PatternSet ToolPatterns { get; }

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
    /// <summary>Kinds of tools, of a rule about these.</summary>
    public IReadOnlyList<string>? Tools { get; init; }
    /// <summary>Which coding agent asks, of a rule about tools.</summary>
    public IReadOnlyList<string>? CodingAgents { get; init; }

    public bool IsAlways => this is { Modes: null, Tags: null, Patterns: null, Roles: null, Origins: null, Tools: null, CodingAgents: null };
}
