using Tanjiren.Protocol;
using Tanjiren.Server.Governance;

namespace Tanjiren.Server.Tests.Governance;

public sealed class DoctrineReaderTests
{
    [Fact]
    public void A_document_with_everything_is_read_as_it_is_written()
    {
        var doctrine = Doctrines.Read("""
            # comment
            forbid:
              - name: erase
                because: no way back.
                when:
                  mode: command
                  pattern: ['\bmkfs\b', '(?i)format c:']
            approvals:
              - { name: production, class: production_mutation, when: { tags: [production, eu/west:1] }, selfApproval: true, inherit: true }
              - name: automatic
                class: sensitive_write
                when: { role: [viewer, member], origin: [schedule, runbook] }
            freeze:
              - { name: weekend, zone: Europe/Berlin, cron: '0 18 * * 5', duration: 62h, effect: refuse, when: { tags: production } }
              - { name: year, from: 2026-12-19 18:00, to: 2027-01-04 }
            """);

        doctrine.Rules.Select(r => (r.Name, r.Effect)).ShouldBe(
        [
            ("erase", RuleEffect.Forbid), ("production", RuleEffect.ProductionMutation), ("automatic", RuleEffect.SensitiveWrite), ("weekend", RuleEffect.Refuse), ("year", RuleEffect.Wait),
        ]);
        doctrine.Rules[0].Because.ShouldBe("no way back.");
        doctrine.Rules[0].When.Patterns!.Select(p => p.Text).ShouldBe([@"\bmkfs\b", "(?i)format c:"]);
        (doctrine.Rules[1].SelfApproval, doctrine.Rules[1].Inherit).ShouldBe((true, true));
        (doctrine.Rules[2].SelfApproval, doctrine.Rules[2].Inherit).ShouldBe((false, false));
        doctrine.Rules[2].When.Roles.ShouldBe([Role.Viewer, Role.Member]);
        doctrine.Rules[2].When.Origins.ShouldBe([DoctrineOrigin.Schedule, DoctrineOrigin.Runbook]);
        doctrine.Rules[4].When.IsAlways.ShouldBeTrue();
        doctrine.RuleNaming("production").ShouldBe("production");
        doctrine.RuleNaming("eu/west:1").ShouldBe("production");
        doctrine.RuleNaming("gpu").ShouldBeNull();
    }

    [Theory]
    [InlineData("")]
    [InlineData("# nothing but a comment\n")]
    [InlineData("---\n...\n")]
    [InlineData("forbid:\napprovals: []\nfreeze: ~\n")]
    [InlineData(StartDoctrine.Personal)]
    public void A_document_without_rules_is_one(string document) => Doctrines.Read(document).Rules.ShouldBeEmpty();

    [Theory]
    [InlineData("forbid:\n  - name: [a\n", 3, 1, "flow")] // YAML itself
    [InlineData("forbid: 'open\n", 1, 9, "while scanning a quoted scalar, found unexpected end of stream")]
    [InlineData("- a\n", 1, 1, "must be a map with the keys forbid, approvals, freeze, permissions")]
    [InlineData("a: 1\n---\nb: 2\n", 2, 1, "second document")]
    [InlineData("forbid:\nforbid:\n", 2, 1, "'forbid' stands here a second time")]
    [InlineData("forbid: &x []\n", 1, 9, "anchor")]
    [InlineData("forbid: !!seq []\n", 1, 9, "tag (!)")]
    [InlineData("approvals: [[[[[[[[[[[[]]]]]]]]]]]]\n", 1, 20, "nested more deeply")]
    [InlineData("forbids: []\n", 1, 1, "no key 'forbids'")]
    [InlineData("forbid: none\n", 1, 9, "a list of rules")]
    [InlineData("forbid:\n  - name: a\n    when: { pattern: x }\n    clas: y\n", 4, 5, "no key 'clas'")]
    [InlineData("forbid:\n  - when: { pattern: x }\n", 2, 5, "name is required")]
    [InlineData("forbid:\n  - { name: a, when: { mode: command } }\n  - { name: A, when: { mode: command } }\n", 3, 13, "'A' in line 2 already")]
    [InlineData("forbid:\n  - name: a\n", 2, 5, "when is required")]
    [InlineData("forbid:\n  - { name: a, when: {} }\n", 2, 22, "needs a condition")]
    [InlineData("forbid:\n  - { name: a, when: { mode: shell } }\n", 2, 30, "one of command, prompt, investigate")]
    [InlineData("forbid:\n  - { name: a, when: { role: admins } }\n", 2, 30, "one of viewer, member, admin, owner")]
    [InlineData("forbid:\n  - { name: a, when: { origin: cron } }\n", 2, 32, "one of request, schedule, runbook")]
    [InlineData("forbid:\n  - { name: a, when: { tags: [ok, No] } }\n", 2, 35, "is no tag")]
    [InlineData("forbid:\n  - { name: a, when: { tags: [] } }\n", 2, 30, "from 1 to 100 values")]
    [InlineData("forbid:\n  - { name: a, when: { tags: [[b]] } }\n", 2, 31, "a word, or a list of words")]
    [InlineData("forbid:\n  - { name: a, when: { pattern: 'a(b' } }\n", 2, 33, "no regular expression, at its character 4: insufficient closing parentheses")]
    [InlineData("forbid:\n  - { name: a, when: { pattern: 'a(?=b)' } }\n", 2, 33, "linear time")]
    [InlineData("forbid:\n  - { name: a, when: { pattern: '(a)\\1' } }\n", 2, 33, "linear time")]
    [InlineData("forbid:\n  - { name: a, when: { pattern: '((a{1,99}){1,99}){1,99}' } }\n", 2, 33, "linear time")]
    [InlineData("forbid:\n  - { name: a, when: { pattern: \"a\\u0000\" } }\n", 2, 33, "control character")]
    [InlineData("forbid:\n  - { name: \"a\\nb\", when: { pattern: a } }\n", 2, 13, "text of one line")]
    [InlineData("approvals:\n  - { name: a, when: { mode: command } }\n", 2, 5, "class is required")]
    [InlineData("approvals:\n  - { name: a, class: low, when: { mode: command } }\n", 2, 23, "sensitive_write or production_mutation")]
    [InlineData("approvals:\n  - { name: a, class: sensitive_write, inherit: yes, when: { mode: command } }\n", 2, 49, "false or true")]
    [InlineData("freeze:\n  - { name: a }\n", 2, 5, "either cron and duration, or from and to")]
    [InlineData("freeze:\n  - { name: a, cron: '0 18 * * 5', duration: 1h, from: 2026-01-01, to: 2026-01-02 }\n", 2, 5, "either cron and duration, or from and to")]
    [InlineData("freeze:\n  - { name: a, cron: '0 18 * * 5' }\n", 2, 5, "duration is required")]
    [InlineData("freeze:\n  - { name: a, cron: '0 18 * *', duration: 1h }\n", 2, 22, "five fields")]
    [InlineData("freeze:\n  - { name: a, cron: '0 61 * * *', duration: 1h }\n", 2, 22, "five fields")]
    [InlineData("freeze:\n  - { name: a, cron: '0 0 , * *', duration: 1h }\n", 2, 22, "five fields")]
    [InlineData("freeze:\n  - { name: a, cron: '0 0 * * 99999999999', duration: 1h }\n", 2, 22, "five fields")]
    [InlineData("freeze:\n  - { name: a, cron: '0 0 L * *', duration: 1h }\n", 2, 22, "five fields")]
    [InlineData("freeze:\n  - { name: a, cron: '@daily', duration: 1h }\n", 2, 22, "five fields")]
    [InlineData("freeze:\n  - { name: a, cron: '0 0 30 2 *', duration: 1h }\n", 2, 22, "name a time that comes")]
    [InlineData("freeze:\n  - { name: a, cron: '0 18 * * 5', duration: 32d }\n", 2, 46, "from 1m to 31d")]
    [InlineData("freeze:\n  - { name: a, cron: '0 18 * * 5', duration: 0h }\n", 2, 46, "from 1m to 31d")]
    [InlineData("freeze:\n  - { name: a, cron: '0 18 * * 5', duration: 90 }\n", 2, 46, "from 1m to 31d")]
    [InlineData("freeze:\n  - { name: a, zone: Europe/Brlin, cron: '0 18 * * 5', duration: 1h }\n", 2, 22, "IANA")]
    [InlineData("freeze:\n  - { name: a, zone: ../../etc/passwd, cron: '0 18 * * 5', duration: 1h }\n", 2, 22, "IANA")]
    [InlineData("freeze:\n  - { name: a, zone: W. Europe Standard Time, cron: '0 18 * * 5', duration: 1h }\n", 2, 22, "IANA")]
    [InlineData("freeze:\n  - { name: a, from: 2026-01-02, to: 2026-01-02 }\n", 2, 38, "after from")]
    [InlineData("freeze:\n  - { name: a, from: tomorrow, to: 2026-01-02 }\n", 2, 22, "from must be a time")]
    [InlineData("freeze:\n  - { name: a, from: 2026-01-01, to: 2500-01-02 }\n", 2, 38, "to must be a time")]
    public void A_fault_is_told_with_its_line_and_column(string document, long line, long column, string message)
    {
        var fault = DoctrineReader.Read(document).Faults.ShouldHaveSingleItem();
        fault.Message.ShouldContain(message);
        (fault.Line, fault.Column).ShouldBe((line, column), fault.Message);
    }

    [Fact]
    public void Everything_that_is_wrong_is_told_at_once_in_the_order_of_the_document()
    {
        var faults = DoctrineReader.Read("""
            freeze:
              - { name: c, from: 2026-01-01, to: never }
            forbid:
              - { name: a, when: { mode: x, pattern: '(' } }
              - { name: b, when: { tags: A } }
            """).Faults;
        faults.Select(f => f.Line).ShouldBe([2, 4, 4, 5]);
    }

    [Fact]
    public void An_alias_is_refused_before_it_can_stand_for_gigabytes()
    {
        var bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n";
        DoctrineReader.Read(bomb).Faults.ShouldHaveSingleItem().ToString().ShouldStartWith("line 1, column 4: has an anchor");
        DoctrineReader.Read("forbid: *x\n").Faults.ShouldHaveSingleItem().Message.ShouldContain("alias");
    }

    /// <summary>The library's own document model recurses for each level, and a stack that ends takes the server with it.</summary>
    [Fact]
    public void Nesting_as_deep_as_the_document_is_long_is_one_fault()
    {
        DoctrineReader.Read("forbid: " + new string('[', 60_000)).Faults.ShouldHaveSingleItem();
        DoctrineReader.Read(string.Concat(Enumerable.Range(0, 300).Select(i => new string(' ', i) + "a:\n"))).Faults.ShouldNotBeEmpty();
    }

    [Fact]
    public void What_is_too_large_is_refused()
    {
        DoctrineReader.Read("# " + new string('x', WireLimits.MaxDoctrineBytes)).Faults.ShouldHaveSingleItem().Message.ShouldContain("65536 bytes");
        var rules = string.Concat(Enumerable.Range(0, DoctrineReader.MaxRules + 1).Select(i => $"  - {{ name: r{i}, when: {{ mode: command }} }}\n"));
        DoctrineReader.Read("forbid:\n" + rules).Faults.ShouldHaveSingleItem().Line.ShouldBe(DoctrineReader.MaxRules + 2);
        var patterns = string.Concat(Enumerable.Range(0, 6).Select(i => $"  - {{ name: r{i}, when: {{ pattern: [{string.Join(',', Enumerable.Range(0, 100).Select(_ => "a"))}] }} }}\n"));
        DoctrineReader.Read("forbid:\n" + patterns).Faults.ShouldAllBe(f => f.Line == 7 && f.Message.Contains("one too many"));
        DoctrineReader.Read(Doctrines.Approval($"pattern: {new string('a', 1001)}")).Faults.ShouldHaveSingleItem().Message.ShouldContain("1 to 1000 characters");
    }

    [Fact]
    public void The_document_that_shared_organizations_begin_with_is_valid()
    {
        var doctrine = Doctrines.Read(StartDoctrine.Shared);
        doctrine.RuleNaming("production").ShouldBe("production");
        foreach (var (text, tags, expected) in new (string, string[], string)[]
        {
            ("make test", [], "none"), ("rm notes.txt", ["gpu"], "none"), ("terraform plan", [], "none"), ("kubectl get pods", [], "none"), ("echo formatted", [], "none"),
            ("make test", ["production"], "production_mutation"), ("rm -rf build", [], "sensitive_write"), ("rm --recursive build", [], "sensitive_write"),
            ("psql -c 'DROP TABLE users'", [], "sensitive_write"), ("terraform -chdir=x apply", [], "sensitive_write"), ("kubectl -n a delete pod b", [], "sensitive_write"),
            ("git push origin main --force", [], "sensitive_write"), ("sudo reboot", [], "sensitive_write"),
            ("rm -rf /", [], "forbid"), ("sudo rm -r -f --no-preserve-root /*", [], "forbid"), ("mkfs.ext4 /dev/sda1", [], "forbid"), ("dd if=/dev/zero of=/dev/sda bs=1M", [], "forbid"),
            ("rm -rf /tmp/x", [], "sensitive_write"), ("rm -rf ~/build", [], "sensitive_write"),
            // A shell reads a line that ends in a backslash together with the next, and a name with or without quotes and slash.
            ("rm -rf ~/", [], "forbid"), ("rm -rf \"$HOME\"", [], "forbid"), ("rm -rf ${HOME}/*", [], "forbid"), ("rm -rf '/'", [], "forbid"), ("rm -rf /; echo done", [], "forbid"),
            ("rm \\\n  -rf \\\n  /", [], "forbid"), ("dd if=/dev/zero \\\n  of=/dev/sda", [], "forbid"), ("set -e\nrm \\\n  -r build\n", [], "sensitive_write"),
            ("terraform -chdir=x \\\n  apply", [], "sensitive_write"), ("kubectl -n a \\\n  delete pod b", [], "sensitive_write"), ("helm \\\n upgrade a b", [], "sensitive_write"),
            ("aws s3api \\\n  delete-bucket", [], "sensitive_write"), ("git \\\n push origin \\\n --force", [], "sensitive_write"), ("Remove-Item x `\n -Recurse", [], "sensitive_write"),
            ("psql -c 'delete\n from users'", [], "sensitive_write"),
        })
        {
            var decision = DoctrineEvaluator.Evaluate(doctrine, 1, Doctrines.Case(text, tags), Doctrines.Ample);
            (decision.Forbidden ? "forbid" : Tanjiren.Server.Tasks.WireNames.Of(decision.Class)).ShouldBe(expected, text);
        }
    }
}
