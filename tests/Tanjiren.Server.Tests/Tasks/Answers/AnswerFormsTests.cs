using System.Text;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Tasks.Answers;

/// <summary>Each form, good and bad. The agent and the server stand on the same check.</summary>
public sealed class AnswerFormsTests
{
    private static readonly AnswerEvidence[] Some = [new() { File = "a.cs", Line = 1 }];

    [Theory]
    [InlineData(AnswerForm.Text, "\"words\"")]
    [InlineData(AnswerForm.Text, "\" \\u0000 ü😀\\n\"")]
    [InlineData(AnswerForm.List, "[]")]
    [InlineData(AnswerForm.List, "[\"a\",\"a\"]")]
    [InlineData(AnswerForm.YesNo, "true")]
    [InlineData(AnswerForm.YesNo, "false")]
    [InlineData(AnswerForm.Object, "{\"a\":null,\"b\":[{\"c\":1e9}]}")]
    [InlineData(AnswerForm.Object, "{\"b\":\"\",\"a\":false}")]
    public void What_has_the_form_passes(AnswerForm form, string answer) => Fault(form, answer, Some).ShouldBeNull();

    [Theory]
    [InlineData(AnswerForm.Text, "\"\"", "an empty string")]
    [InlineData(AnswerForm.Text, "\" \\t\"", "an empty string")]
    [InlineData(AnswerForm.Text, "[\"a\"]", "is an array")]
    [InlineData(AnswerForm.Text, "null", "is null")]
    [InlineData(AnswerForm.Text, "\"\\ud83d\"", "surrogate")]
    [InlineData(AnswerForm.List, "\"a\"", "is a string")]
    [InlineData(AnswerForm.List, "[\"a\",1]", "\"answer[1]\" must be a string with words in it, and is a number")]
    [InlineData(AnswerForm.List, "[\"a\",\"\"]", "\"answer[1]\"")]
    [InlineData(AnswerForm.List, "[\"a\",[\"b\"]]", "\"answer[1]\"")]
    [InlineData(AnswerForm.YesNo, "\"yes\"", "must be true or false, and is a string")]
    [InlineData(AnswerForm.YesNo, "1", "is a number")]
    [InlineData(AnswerForm.Object, "[]", "must be an object")]
    [InlineData(AnswerForm.Object, "{\"a\":1}", "lacks the field \"b\"")]
    [InlineData(AnswerForm.Object, "{\"a\":1,\"b\":1,\"c\":1}", "\"c\", which was not asked for")]
    [InlineData(AnswerForm.Object, "{\"a\":1,\"b\":1,\"A\":1}", "\"A\", which was not asked for")]
    [InlineData(AnswerForm.Object, "{\"a\":1,\"b\":1,\"a\":2}", "\"a\" twice")]
    [InlineData(AnswerForm.Object, "{\"a\":1,\"b\":{\"\\udc00\":1}}", "surrogate")]
    [InlineData(AnswerForm.Object, "{\"a\":1,\"b\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "more than 16 deep")]
    public void What_has_not_is_named(AnswerForm form, string answer, string words) => Fault(form, answer, Some)!.ShouldContain(words);

    [Fact]
    public void Nothing_at_all_is_no_answer()
    {
        AnswerForms.Fault(Question(AnswerForm.Text), null, null).ShouldBe("\"answer\" is missing");
        AnswerForms.Fault(Question(AnswerForm.Text), default(JsonElement), null).ShouldBe("\"answer\" is missing");
    }

    [Fact]
    public void Only_a_yes_or_no_needs_evidence()
    {
        foreach (var none in new AnswerEvidence[]?[] { null, [] })
        {
            Fault(AnswerForm.YesNo, "true", none)!.ShouldContain("at least one element");
            Fault(AnswerForm.Text, "\"a\"", none).ShouldBeNull();
        }
    }

    [Fact]
    public void Evidence_names_a_file_or_a_command_and_lines_of_a_file()
    {
        (AnswerEvidence? Piece, string? Words)[] cases =
        [
            (new() { File = "a" }, null), (new() { Command = "ls" }, null), (new() { File = "a", Line = 3, EndLine = 3, Command = "cat a", Note = "x" }, null),
            (null, "must be an object"), (new(), "neither a file nor a command"), (new() { Note = "x" }, "neither"), (new() { File = " " }, "neither"),
            (new() { File = "a", Line = 0 }, "below 1"), (new() { Command = "ls", Line = 1 }, "of no file"), (new() { File = "a", EndLine = 2 }, "without a line before it"),
            (new() { File = "a", Line = 3, EndLine = 2 }, "without a line before it"), (new() { File = "a\0" }, "NUL"), (new() { File = new string('a', 1001) }, "more than 1000"),
            (new() { Command = new string('a', 2001) }, "more than 2000"), (new() { File = "a", Note = new string('a', 1001) }, "more than 1000"),
        ];
        foreach (var (piece, words) in cases)
        {
            var fault = AnswerForms.EvidenceFault([Some[0], piece!]);
            if (words is null) fault.ShouldBeNull();
            else fault!.ShouldSatisfyAllConditions(f => f.ShouldStartWith("\"evidence[1]\" "), f => f.ShouldContain(words));
        }
        AnswerForms.EvidenceFault([.. Enumerable.Repeat(Some[0], WireLimits.MaxEvidence)]).ShouldBeNull();
        AnswerForms.EvidenceFault([.. Enumerable.Repeat(Some[0], WireLimits.MaxEvidence + 1)])!.ShouldContain("at most 50");
        AnswerForms.EvidenceFault([.. Enumerable.Repeat(new AnswerEvidence { Command = new string('c', 2000) }, 17)])!.ShouldContain("34000 characters");
    }

    /// <summary>Its size is that of the wire, the same on both sides, however the words were written.</summary>
    [Fact]
    public void An_answer_has_a_largest_size()
    {
        Fault(AnswerForm.Text, $"\"{new string('a', WireLimits.MaxAnswerBytes - 2)}\"", null).ShouldBeNull();
        Fault(AnswerForm.Text, $"\"{new string('a', WireLimits.MaxAnswerBytes - 1)}\"", null)!.ShouldContain("65537 bytes");
        var raw = $"\"{new string('ü', WireLimits.MaxAnswerBytes / 6)}\"";
        Fault(AnswerForm.Text, raw, null).ShouldBe(Fault(AnswerForm.Text, raw.Replace("ü", "\\u00fc"), null));
    }

    /// <summary>A seed for each: whatever passes can be written, stored and read again as the same, and passes again; and a request with all that it may have fits the wire and the journal.</summary>
    [Fact]
    public void What_passes_is_the_same_after_any_number_of_writers()
    {
        var passed = 0;
        for (var seed = 0; seed < 20_000; seed++)
        {
            var random = new Random(seed);
            var form = (AnswerForm)random.Next(4);
            var text = Value(random, form == AnswerForm.Object ? 0 : random.Next(3));
            if (AnswerForms.Fault(Question(form), JsonDocument.Parse(text).RootElement, Some) is not null) continue;
            passed++;
            var once = JsonSerializer.Serialize(JsonDocument.Parse(text).RootElement, WireJson.Default.JsonElement);
            JsonSerializer.Serialize(JsonDocument.Parse(once).RootElement, WireJson.Default.JsonElement).ShouldBe(once);
            Fault(form, once, Some).ShouldBeNull();
        }
        passed.ShouldBeGreaterThan(500);

        var largest = new StepAnswerRequest
        {
            Question = new string('q', 64), LeaseGeneration = long.MaxValue, Asked = 2, Problem = new string('<', 2000), Said = new string('<', WireLimits.MaxSaidLength),
            Answer = JsonDocument.Parse($"\"{new string('a', WireLimits.MaxAnswerBytes - 2)}\"").RootElement,
            Evidence = [.. Enumerable.Repeat(new AnswerEvidence { File = new string('<', 600), Line = int.MaxValue, EndLine = int.MaxValue, Note = new string('<', 50) }, WireLimits.MaxEvidence)],
        };
        AnswerForms.EvidenceFault(largest.Evidence).ShouldBeNull();
        JsonSerializer.SerializeToUtf8Bytes(largest, WireJson.Default.StepAnswerRequest).Length.ShouldBeLessThan(600 * 1024);
    }

    private static TaskQuestion Question(AnswerForm form) => new() { Name = "q", Text = "?", Form = form, Fields = form == AnswerForm.Object ? ["a", "b"] : null };

    private static string? Fault(AnswerForm form, string answer, AnswerEvidence[]? evidence) => AnswerForms.Fault(Question(form), JsonDocument.Parse(answer).RootElement, evidence);

    private static string Value(Random random, int depth)
    {
        string[] strings = ["\"\"", "\"a\"", "\"<b>\"", "\"\\u00fc\\n\"", "\"\\ud83d\"", "\"\\ud83d\\ude00\"", "\"ü\""];
        return random.Next(depth > 3 ? 3 : 6) switch
        {
            0 => strings[random.Next(strings.Length)],
            1 => random.Next(2) == 0 ? "true" : "null",
            2 => ((string[])["0", "-1.50", "1e400"])[random.Next(3)],
            3 => $"[{string.Join(" , ", Enumerable.Range(0, random.Next(3)).Select(_ => Value(random, depth + 1)))}]",
            _ => new StringBuilder("{").AppendJoin(',', ((string[])["\"a\":", " \"b\" : ", "\"c\":"]).Take(random.Next(2, 4)).Select(name => name + Value(random, depth + 1))).Append('}').ToString(),
        };
    }
}
