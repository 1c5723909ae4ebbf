using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Governance;

namespace Tanjiren.Server.Tests.Governance;

/// <summary>Documents by chance: many are valid, many nearly so. The seed is fixed, so that a failure is there the next time too.</summary>
public sealed class DoctrinePropertyTests
{
    /// <summary>Making a pattern takes some 20 ms.</summary>
    private const int Documents = 300;

    private static readonly string[] Patterns =
        ["rm", @"\brm\b", "(?i)drop|delete", "a{1,50}", "[^ ]+$", "(", "a**", "(?=x)", "", ".*", @"\p{L}+", "(?x) a # b", "(a|b|ab){1,1000}c", @"[\w-[aeiou]]", @"\u0041", "x{0}", "^$", "(?:)"];
    private static readonly string[] Zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca", "Etc/GMT+12", "Nowhere/At_all", "\"\""];
    private static readonly string[] Fields = ["*", "0", "1", "7", "*/7", "5-1", "L", "15W", "?", "1-5", "FRI", "29", "30", "59", "H", "1,2,3", "fri#2", "*/0", "99", "-1", "JAN", "L-3"];
    private static readonly string[] Times = ["2026-03-29 02:30", "2026-10-25T02:30", "2011-12-30", "2000-01-01", "2199-12-31 23:59", "2199-12-31", "2026-02-30", "1999-12-31", "soon"];
    private static readonly string[] Words = ["production", "gpu", "a/b:c", "UPPER", "command", "prompt", "member", "owner", "schedule", "request", "~", "''", "[]", "{}", "wait", "refuse", "sensitive_write"];

    [Fact]
    public void A_document_that_is_valid_is_evaluated_without_an_exception_and_one_that_is_not_says_where()
    {
        var valid = 0;
        for (var seed = 0; seed < Documents; seed++)
        {
            var random = new Random(seed);
            var document = random.Next(4) == 0 ? Damaged(Document(random), random) : Document(random);
            try
            {
                var reading = DoctrineReader.Read(document);
                foreach (var fault in reading.Faults)
                {
                    fault.Line.ShouldBeInRange(1, document.Split('\n').Length + 1);
                    fault.Column.ShouldBeGreaterThan(0);
                    fault.Message.ShouldNotBeNullOrWhiteSpace();
                }
                if (reading.Faults.Count > 0) continue;
                valid++;
                for (var i = 0; i < 5; i++) Check(reading.Doctrine, DoctrineEvaluator.Evaluate(reading.Doctrine, 7, Case(random)));
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {seed}: {document}", e);
            }
        }
        valid.ShouldBeGreaterThan(Documents / 10, "else this proves little");
    }

    private static void Check(Doctrine doctrine, DoctrineDecision decision)
    {
        decision.Version.ShouldBe(7);
        decision.Forbidden.ShouldBe(decision.Findings.Any(f => f.Effect == "forbid"));
        decision.FreezeRefuses.ShouldBe(decision.Findings.Any(f => f.Effect == "refuse"));
        decision.FrozenUntil.HasValue.ShouldBe(decision.Findings.Any(f => f.Effect is "wait" or "refuse"));
        decision.Class.ShouldBe(decision.Findings.Any(f => f.Effect == "production_mutation") ? ApprovalClass.ProductionMutation
            : decision.Findings.Any(f => f.Effect == "sensitive_write") ? ApprovalClass.SensitiveWrite : ApprovalClass.None);
        decision.Findings.Select(f => f.Rule).ShouldBeUnique();
        decision.Findings.ShouldAllBe(f => doctrine.Rules.Any(r => r.Name == f.Rule) && f.Because.Length > 0);
    }

    private static string Document(Random random)
    {
        var text = new StringBuilder();
        var number = 0;
        foreach (var part in new[] { "forbid", "approvals", "freeze" })
        {
            if (random.Next(3) == 0) continue;
            text.Append(part).Append(":\n");
            for (var rules = random.Next(1, 4); rules > 0; rules--)
            {
                text.Append($"  - name: r{(random.Next(20) == 0 ? 0 : ++number)}\n");
                if (random.Next(3) == 0) text.Append("    because: it is so: 'yes'\n".Replace(": '", random.Next(5) == 0 ? ": '" : " '"));
                if (part == "approvals") text.Append($"    class: {(random.Next(2) == 0 ? "production_mutation" : "sensitive_write")}\n");
                if (part == "freeze") text.Append(Window(random));
                if (part != "freeze" || random.Next(2) == 0) text.Append($"    when: {{ {Conditions(random)} }}\n");
            }
        }
        return text.ToString();
    }

    private static string Window(Random random)
    {
        var zone = random.Next(2) == 0 ? $"    zone: {Pick(random, Zones)}\n" : "";
        // Most documents keep to what is often valid, or none would be.
        string Field() => random.Next(3) > 0 ? Pick(random, "*", "1", "1-5", "*/7") : Pick(random, Fields);
        return zone + (random.Next(2) == 0
            ? $"    cron: '{Field()} {Field()} {Field()} {Field()} {Field()}'\n    duration: {Pick(random, "1m", "62h", "31d", "1d12h", "0m")}\n"
            : $"    from: {Pick(random, Times)}\n    to: {Pick(random, Times)}\n");
    }

    private static string Conditions(Random random)
    {
        var conditions = new List<string>();
        if (random.Next(3) == 0) conditions.Add("mode: " + Pick(random, "command", "[prompt, investigate]", "command"));
        if (random.Next(3) == 0) conditions.Add("tags: " + Pick(random, "production", "[gpu, a/b:c]", Pick(random, Words)));
        if (random.Next(3) == 0) conditions.Add("role: " + Pick(random, "[viewer, member]", "admin", Pick(random, Words)));
        if (random.Next(3) == 0) conditions.Add("origin: " + Pick(random, "schedule", "[request, runbook]", Pick(random, Words)));
        if (conditions.Count == 0 || random.Next(2) == 0) conditions.Add($"pattern: '{Pick(random, Patterns)}'");
        return string.Join(", ", conditions);
    }

    /// <summary>Characters lost, doubled or exchanged, among them those that mean something in YAML.</summary>
    private static string Damaged(string document, Random random)
    {
        var text = new StringBuilder(document);
        for (var left = random.Next(1, 6); left > 0 && text.Length > 0; left--)
        {
            var at = random.Next(text.Length);
            switch (random.Next(3))
            {
                case 0:
                    text.Remove(at, 1);
                    break;
                case 1:
                    text.Insert(at, Pick(random, "\t", ":", "- ", "'", "\"", "{", "]", "&a ", "*a", "!x ", "|", ">", "%", "@", "\\x", "\n", "\n---\n", "? ", "#", "\"\\uD800\"", "\"\\UFFFFFFFF\"", "\u0085", "\uFEFF", "%YAML 9.9\n", "<<: "));
                    break;
                default:
                    text[at] = (char)random.Next(32, 300);
                    break;
            }
        }
        return text.ToString();
    }

    private static DoctrineCase Case(Random random) => Doctrines.Case(
        random.Next(40) == 0 ? new string('a', 64 * 1024 + random.Next(-1, 2)) : Pick(random, "", "rm -rf /", "DROP TABLE x", "aé\n\0😀", "abc\ud800"),
        [Pick(random, Words)], (Role)random.Next(4), (DoctrineOrigin)random.Next(3), (TaskMode)random.Next(3),
        FreezeWindow.First.AddSeconds(random.NextInt64((long)(FreezeWindow.Last - FreezeWindow.First).TotalSeconds)));

    private static string Pick(Random random, params string[] values) => values[random.Next(values.Length)];
}
