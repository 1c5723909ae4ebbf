using System.Diagnostics;
using Tanjiren.Protocol;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using static Tanjiren.Server.Tests.Governance.Doctrines;

namespace Tanjiren.Server.Tests.Governance;

public sealed class DoctrineEvaluatorTests
{
    [Theory]
    [InlineData("mode: prompt", false)]
    [InlineData("mode: [prompt, command]", true)]
    [InlineData("tags: production", true)]
    [InlineData("tags: [staging, production]", true)]
    [InlineData("tags: [staging]", false)]
    [InlineData("pattern: 'rest.rt'", true)]
    [InlineData("pattern: '^restart'", false)]
    [InlineData("pattern: 'RESTART'", false)]
    [InlineData("pattern: '(?i)RESTART'", true)]
    [InlineData("pattern: [nothing, nginx]", true)]
    [InlineData("role: admin", false)]
    [InlineData("role: [member, viewer]", true)]
    [InlineData("origin: request", false)]
    [InlineData("origin: [runbook, schedule]", true)]
    [InlineData("mode: command, tags: production, pattern: nginx, role: member, origin: schedule", true)]
    [InlineData("mode: prompt, tags: production, pattern: nginx, role: member, origin: schedule", false)]
    [InlineData("mode: command, tags: staging, pattern: nginx, role: member, origin: schedule", false)]
    [InlineData("mode: command, tags: production, pattern: apache, role: member, origin: schedule", false)]
    [InlineData("mode: command, tags: production, pattern: nginx, role: viewer, origin: schedule", false)]
    [InlineData("mode: command, tags: production, pattern: nginx, role: member, origin: runbook", false)]
    public void A_rule_matches_when_every_condition_is_met_by_one_of_its_values(string when, bool matches) =>
        (Decide(Approval(when), Case("systemctl restart nginx", ["gpu", "production"], Role.Member, DoctrineOrigin.Schedule)).Findings.Count == 1).ShouldBe(matches);

    [Fact]
    public void Every_rule_that_matches_is_told_with_its_effect_and_what_met_it()
    {
        var decision = Decide("""
            forbid:
              - { name: no-wipe, because: no way back., when: { pattern: wipe } }
            approvals:
              - { name: customers, class: production_mutation, when: { tags: production, role: [member] } }
              - { name: nightly, class: sensitive_write, when: { origin: schedule, mode: command } }
              - { name: other, class: production_mutation, when: { tags: other } }
            freeze:
              - { name: noon, cron: '0 12 * * *', duration: 2h }
              - { name: today, from: 2026-11-21, to: 2026-11-22, effect: refuse, when: { tags: production } }
              - { name: tomorrow, from: 2026-11-22, to: 2026-11-23 }
            """, Case("wipe it", ["production"], Role.Member, DoctrineOrigin.Schedule));
        decision.Findings.ShouldBe(
        [
            new DoctrineFinding("no-wipe", "forbid", "its text matches wipe: no way back."),
            new DoctrineFinding("customers", "production_mutation", "its creator's role is member; a workstation that could run it is tagged production"),
            new DoctrineFinding("nightly", "sensitive_write", "the mode is command; a schedule makes it"),
            new DoctrineFinding("noon", "wait", "frozen until 2026-11-21T14:00:00Z; it is for every task"),
            new DoctrineFinding("today", "refuse", "frozen until 2026-11-22T00:00:00Z; a workstation that could run it is tagged production"),
        ]);
        (decision.Forbidden, decision.Class, decision.FreezeRefuses, decision.FrozenUntil).ShouldBe((true, ApprovalClass.ProductionMutation, true, new DateTimeOffset(2026, 11, 22, 0, 0, 0, TimeSpan.Zero)));
    }

    [Fact]
    public void A_task_that_no_rule_matches_is_free()
    {
        var decision = Decide(Approval("tags: production"), Case());
        (decision.Class, decision.Forbidden, decision.FrozenUntil, decision.FreezeRefuses, decision.Findings.Count, decision.SelfApproval, decision.Inherit)
            .ShouldBe((ApprovalClass.None, false, null, false, 0, false, false));
    }

    [Theory]
    [InlineData("sensitive_write", "production_mutation")]
    [InlineData("production_mutation", "sensitive_write")]
    public void The_highest_class_counts_in_whatever_order_the_rules_stand(string first, string second) =>
        Decide($"approvals:\n  - {{ name: a, class: {first}, when: {{ mode: command }} }}\n  - {{ name: b, class: {second}, when: {{ pattern: true }} }}\n", Case())
            .Class.ShouldBe(ApprovalClass.ProductionMutation);

    [Fact]
    public void Of_several_machines_the_strictest_counts()
    {
        var tags = DoctrineCase.Union([["gpu"], [], ["gpu", "production"], ["staging"]]);
        Decide(Approval("tags: production"), Case(tags: tags)).Class.ShouldBe(ApprovalClass.SensitiveWrite);
        Decide(Approval("tags: production"), Case(tags: DoctrineCase.Union([["gpu"], []]))).Class.ShouldBe(ApprovalClass.None);
    }

    [Theory]
    [InlineData(true, true, true)]
    [InlineData(true, false, false)]
    [InlineData(false, true, false)]
    public void Self_approval_and_inheritance_take_every_rule_that_asks(bool first, bool second, bool both)
    {
        static string Word(bool value) => value ? "true" : "false";
        var decision = Decide($$"""
            approvals:
              - { name: a, class: production_mutation, selfApproval: {{Word(first)}}, inherit: {{Word(second)}}, when: { mode: command } }
              - { name: b, class: sensitive_write, selfApproval: {{Word(second)}}, inherit: {{Word(first)}}, when: { mode: command } }
              - { name: c, class: sensitive_write, when: { mode: prompt } }
            """, Case());
        (decision.SelfApproval, decision.Inherit).ShouldBe((both, both));
    }

    [Fact]
    public void Text_of_64_KiB_is_read_and_longer_text_takes_the_highest_class_of_the_pattern_rules()
    {
        const string document = """
            approvals:
              - { name: low, class: sensitive_write, when: { pattern: never-there } }
              - { name: elsewhere, class: production_mutation, when: { pattern: never-there, tags: production } }
              - { name: no-pattern, class: production_mutation, when: { mode: prompt } }
            """;
        var (fits, tooLong) = (new string('x', 64 * 1024), new string('é', 32 * 1024) + "x");
        Decide(document, Case(fits)).Class.ShouldBe(ApprovalClass.None);
        var decision = Decide(document, Case(tooLong));
        decision.Findings.ShouldHaveSingleItem().ShouldBe(new DoctrineFinding("low", "sensitive_write", "its text is longer than the 64 KiB that patterns read"));
        decision.Class.ShouldBe(ApprovalClass.SensitiveWrite);
        Decide(document, Case(tooLong, ["production"])).Class.ShouldBe(ApprovalClass.ProductionMutation);
    }

    [Fact]
    public void A_pattern_that_forbids_and_could_not_be_read_asks_for_the_highest_approval()
    {
        const string document = "forbid:\n  - { name: a, when: { pattern: never-there } }\n  - { name: b, when: { tags: locked } }\n";
        var decision = Decide(document, Case(new string('x', 64 * 1024 + 1)));
        (decision.Forbidden, decision.Class).ShouldBe((false, ApprovalClass.ProductionMutation));
        decision.Findings.ShouldHaveSingleItem().Effect.ShouldBe("production_mutation");
        Decide(document, Case(new string('x', 64 * 1024 + 1), ["locked"])).Forbidden.ShouldBeTrue("a rule without a pattern reads no text");
    }

    /// <summary>Alone it takes twenty seconds on 64 KiB, within a transaction that others wait for.</summary>
    [Fact]
    public void A_pattern_that_takes_long_counts_as_matching_soon()
    {
        OnceWithin(TimeSpan.FromSeconds(15), () =>
            Decide(Approval("pattern: '(a|b|ab){1,1000}c'"), Case(string.Concat(Enumerable.Repeat("ab", 32 * 1024)))).Class.ShouldBe(ApprovalClass.SensitiveWrite));
    }

    /// <summary>A busy machine may disturb one of three, not all.</summary>
    private static void OnceWithin(TimeSpan limit, Action act) => Enumerable.Range(0, 3).Any(_ =>
    {
        var watch = Stopwatch.StartNew();
        act();
        return watch.Elapsed < limit;
    }).ShouldBeTrue($"never within {limit.TotalSeconds:0} s");

    /// <summary>Each takes a quarter of a second, and each is made while its text is read, as within a transaction.</summary>
    [Fact]
    public void However_many_patterns_take_long_one_budget_is_for_all()
    {
        var rules = string.Concat(Enumerable.Range(900, 60).Select(n => $"  - {{ name: r{n}, class: sensitive_write, when: {{ pattern: '(a|b|ab){{1,{n}}}c' }} }}\n"));
        OnceWithin(TimeSpan.FromSeconds(12), () =>
        {
            var reading = DoctrineReader.Read("approvals:\n" + rules, compile: false);
            reading.Faults.ShouldBeEmpty();
            var decision = DoctrineEvaluator.Evaluate(reading.Doctrine, 1, Case(string.Concat(Enumerable.Repeat("ab", 32 * 1024))));
            decision.Findings.Count.ShouldBe(60);
            decision.Findings[^1].Because.ShouldBe("its text was not read by all patterns within 500 ms");
        });
    }

    [Fact]
    public void What_the_budget_leaves_unread_counts_as_matching_and_forbids_nothing_for_good()
    {
        const string document = """
            forbid:
              - { name: unread, when: { pattern: never-there } }
              - { name: elsewhere, when: { pattern: never-there, tags: production } }
            approvals:
              - { name: careful, class: sensitive_write, selfApproval: true, when: { pattern: neither } }
            """;
        var decision = DoctrineEvaluator.Evaluate(Read(document), 1, Case(), TimeSpan.Zero);
        (decision.Forbidden, decision.Class, decision.SelfApproval).ShouldBe((false, ApprovalClass.ProductionMutation, false));
        decision.Findings.Select(f => (f.Rule, f.Effect)).ShouldBe([("unread", "production_mutation"), ("careful", "sensitive_write")]);
        DoctrineEvaluator.Evaluate(Read("forbid:\n  - { name: b, when: { tags: locked } }\n"), 1, Case(tags: ["locked"]), TimeSpan.Zero).Forbidden.ShouldBeTrue("it reads no text");
        Decide(document, Case()).Findings.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("role: [owner]")]
    [InlineData("role: [viewer, member]")]
    public void Who_is_no_member_any_more_meets_every_condition_on_roles(string when) =>
        Decide(Approval(when), Case(role: null)).Findings.ShouldHaveSingleItem().Because.ShouldBe("its creator is no member any more");

    [Fact]
    public void A_task_that_a_person_changed_is_asked_for_by_a_person_too()
    {
        var scheduled = new TaskOrigin { ScheduleId = "sch_x" };
        DoctrineGate.OriginsOf(scheduled).ShouldBe([DoctrineOrigin.Schedule]);
        DoctrineGate.OriginsOf(scheduled with { ByPerson = true }).ShouldBe([DoctrineOrigin.Schedule, DoctrineOrigin.Request]);
        DoctrineGate.OriginsOf(scheduled with { RunbookId = "rb_x", ByPerson = true }).ShouldBe([DoctrineOrigin.Schedule, DoctrineOrigin.Runbook, DoctrineOrigin.Request]);
        DoctrineGate.OriginsOf(TaskOrigin.Request with { ByPerson = true }).ShouldBe([DoctrineOrigin.Request]);
    }

    [Fact]
    public void Arguments_are_read_as_a_command_line() =>
        (DoctrineCase.TextOf(new CommandSpec { Argv = ["rm", "-r", "a b"] }), DoctrineCase.TextOf(new CommandSpec { Shell = "true | false" }), DoctrineCase.TextOf((CommandSpec?)null))
            .ShouldBe(("rm -r a b", "true | false", ""));

    /// <summary>Patterns share filters in groups of sixteen: none may hide or lend a match, whatever options, groups and comments its neighbours have.</summary>
    [Fact]
    public void Each_pattern_matches_as_if_it_were_alone()
    {
        string[] odd = ["(?i)alpha", "beta", "^gamma$", "(?x) del ta # comment", "(?<name>e)psilon", "zeta|eta", "(?s)th.eta", "(?m)^iota", "", "[k-m]appa$", "(?n)(la)mbda"];
        string[] patterns = [.. odd.Where(p => p.Length > 0), .. Enumerable.Range(0, 40).Select(i => $@"\bword{i}\b")];
        var rules = string.Concat(patterns.Select((p, i) => $"  - {{ name: r{i}, class: sensitive_write, when: {{ pattern: '{p}' }} }}\n"));
        var doctrine = Read("approvals:\n" + rules);
        foreach (var text in new[] { "ALPHA", "BETA", "gamma", "gamma ray", "delta", "del ta", "epsilon", "an eta", "th\neta", "first\niota", "kappa", "kappas", "lambda", "word7", "word39 word3", "word", "" })
        {
            var expected = patterns.Select((p, i) => (p, i)).Where(x => System.Text.RegularExpressions.Regex.IsMatch(text, x.p, System.Text.RegularExpressions.RegexOptions.NonBacktracking)).Select(x => $"r{x.i}");
            DoctrineEvaluator.Evaluate(doctrine, 1, Case(text), Ample).Findings.Select(f => f.Rule).ShouldBe(expected, text);
        }
    }
}
