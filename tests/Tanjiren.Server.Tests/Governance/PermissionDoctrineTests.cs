using Tanjiren.Protocol;
using Tanjiren.Server.Governance;

namespace Tanjiren.Server.Tests.Governance;

/// <summary>Rules about what coding agents ask: how they are read, which of them counts, and that what can't be read allows nothing.</summary>
public sealed class PermissionDoctrineTests
{
    private const string Document = """
        permissions:
          - { name: reads, answer: allow, when: { tool: [read, search] } }
          - { name: git, answer: allow, because: it changes nothing., when: { tool: execute, pattern: ['git (status|diff)', '(?i)ls( -l)?'] } }
          - { name: pushes, answer: deny, when: { pattern: '\bgit\s+push\b' } }
          - { name: secrets, answer: ask, when: { pattern: '\.env\b' } }
          - { name: production, answer: ask, when: { tags: production, agent: [claude, codex] } }
        """;

    [Theory]
    [InlineData("read", "anything", "allow", "reads")]
    [InlineData("search", "anything", "allow", "reads")]
    [InlineData("execute", "git status", "allow", "git")]
    [InlineData("execute", "LS -L", "allow", "git")]
    [InlineData("execute", "git status && rm -r /", null, null)] // found, and not the whole
    [InlineData("execute", "git status\n", null, null)]
    [InlineData("execute", "x git status", null, null)]
    [InlineData("execute", "git status; git push", "deny", "pushes")]
    [InlineData("read", "git push", "deny", "pushes")] // deny counts before allow
    [InlineData("read", "cat .env", "ask", "secrets")] // and so does ask
    [InlineData("edit", "a.txt", null, null)]
    [InlineData("other", "git status", null, null)]
    public void The_strictest_rule_that_matches_answers(string tool, string text, string? answer, string? rule) => Decide(Case(tool, text)).ShouldBe((answer, rule));

    [Fact]
    public void Every_path_must_match_to_be_allowed()
    {
        var doctrine = Doctrines.Read("permissions:\n  - { name: docs, answer: allow, when: { tool: edit, pattern: '/src/docs/[^/.]+\\.md' } }\n");
        PermissionDecision? Of(params string[] paths) => PermissionEvaluator.Evaluate(doctrine, 1, Case("edit", "x") with { Whole = paths }, Doctrines.Ample);
        Of("/src/docs/a.md").ShouldNotBeNull().Verdict.ShouldBe(PermissionVerdict.Allow);
        Of("/src/docs/a.md", "/src/docs/b.md").ShouldNotBeNull();
        Of("/src/docs/a.md", "/etc/passwd").ShouldBeNull();
        Of().ShouldBeNull();
        Of([.. Enumerable.Range(0, 21).Select(i => $"/src/docs/{i}.md")]).ShouldBeNull();
    }

    [Fact]
    public void What_was_not_told_or_read_in_whole_allows_nothing_and_a_person_looks_where_it_would_deny()
    {
        Decide(Case("execute", "git status") with { IsCut = true, Whole = [] }).ShouldBe(("ask", "pushes"));
        Decide(Case("execute", new string('x', 70_000))).ShouldBe(("ask", "pushes"));
        // What was read and matches, denies.
        Decide(Case("execute", "git push") with { IsCut = true, Whole = [] }).ShouldBe(("deny", "pushes"));
        // Patterns that take too long are read as if they matched, and prove nothing.
        var spent = PermissionEvaluator.Evaluate(Doctrines.Read(Document), 1, Case("execute", "git status"), TimeSpan.Zero);
        (spent?.Verdict, spent?.Rule).ShouldBe((null, "pushes"));
    }

    [Fact]
    public void Roles_origins_and_names_that_are_not_known_meet_no_condition_of_a_rule_that_allows_and_every_one_of_others()
    {
        const string both = """
            permissions:
              - { name: yes, answer: allow, when: { role: admin, origin: schedule, agent: claude } }
              - { name: no, answer: deny, when: { role: admin, origin: schedule, agent: claude } }
            """;
        const string yes = "permissions:\n  - { name: yes, answer: allow, when: { role: admin, origin: schedule, agent: claude } }\n";
        var known = Case("read", "x") with { ActorRole = Role.Admin, Origins = [DoctrineOrigin.Schedule] };
        Decide(known, yes).ShouldBe(("allow", "yes"));
        Decide(known, both).ShouldBe(("deny", "no"));
        foreach (var less in new[] { known with { ActorRole = null }, known with { CodingAgent = null }, known with { Origins = [DoctrineOrigin.Schedule, DoctrineOrigin.Request] } })
        {
            Decide(less, yes).ShouldBe((null, null));
            Decide(less, both).ShouldBe(("deny", "no"));
        }
        Decide(known with { ActorRole = Role.Member }, both).ShouldBe((null, null));
    }

    [Fact]
    public void A_rule_about_tools_says_nothing_of_tasks_and_guards_its_tags()
    {
        var doctrine = Doctrines.Read(Document);
        doctrine.Rules.ShouldBeEmpty();
        doctrine.RuleNaming("production").ShouldBe("production");
        Doctrines.Decide(Document, Doctrines.Case("git push", mode: TaskMode.Prompt)).Findings.ShouldBeEmpty();
        Decide(Case("read", "x") with { Tags = new HashSet<string> { "production" } }).ShouldBe(("ask", "production"));
    }

    [Theory]
    [InlineData("permissions:\n  - { name: a, when: { tool: read } }\n", 2, 5, "answer is required")]
    [InlineData("permissions:\n  - { name: a, answer: perhaps, when: { tool: read } }\n", 2, 24, "answer must be allow or deny or ask")]
    [InlineData("permissions:\n  - { name: a, answer: allow }\n", 2, 5, "when is required")]
    [InlineData("permissions:\n  - { name: a, answer: allow, when: {} }\n", 2, 37, "needs a condition: tool, pattern, agent, tags, role or origin")]
    [InlineData("permissions:\n  - { name: a, answer: allow, when: { tool: shell } }\n", 2, 45, "one of read, edit, delete")]
    [InlineData("permissions:\n  - { name: a, answer: allow, when: { agent: No! } }\n", 2, 46, "no name of a coding agent")]
    [InlineData("permissions:\n  - { name: a, answer: allow, when: { mode: prompt } }\n", 2, 39, "no key 'mode'")]
    [InlineData("permissions:\n  - { name: a, answer: allow, when: { pattern: 'a(b' } }\n", 2, 48, "no regular expression")]
    [InlineData("permissions:\n  - { name: a, answer: allow, when: { pattern: '(?=b)' } }\n", 2, 48, "linear time")]
    [InlineData("forbid:\n  - { name: a, when: { tool: read } }\n", 2, 24, "no key 'tool'")]
    [InlineData("forbid:\n  - { name: a, when: { pattern: x } }\npermissions:\n  - { name: a, answer: deny, when: { tool: read } }\n", 4, 13, "'a' in line 2 already")]
    public void Every_mistake_has_its_place(string document, long line, long column, string words)
    {
        var faults = DoctrineReader.Read(document).Faults;
        faults.Where(f => f.Message.Contains(words, StringComparison.Ordinal)).Select(f => (f.Line, f.Column)).ShouldBe([(line, column)], string.Join('\n', faults));
    }

    private static (string? Answer, string? Rule) Decide(PermissionCase asked, string document = Document)
    {
        var decision = PermissionEvaluator.Evaluate(Doctrines.Read(document), 1, asked, Doctrines.Ample);
        return decision is null ? (null, null) : (decision.Verdict is { } verdict ? verdict.ToString().ToLowerInvariant() : "ask", decision.Rule);
    }

    private static PermissionCase Case(string tool, string text) => new()
    {
        ToolKind = tool, CodingAgent = "claude", All = text, Whole = [text], Tags = new HashSet<string>(), ActorRole = Role.Member, Origins = [DoctrineOrigin.Request],
    };
}
