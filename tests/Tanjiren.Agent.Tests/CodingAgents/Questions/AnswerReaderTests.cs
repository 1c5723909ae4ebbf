using System.Text;
using Tanjiren.Agent.CodingAgents.Questions;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.CodingAgents.Questions;

/// <summary>Answers in the words of coding agents, as they come.</summary>
public sealed class AnswerReaderTests
{
    private static readonly TaskQuestion Words = new() { Name = "q", Text = "?", Form = AnswerForm.Text };
    private static readonly TaskQuestion YesNo = new() { Name = "q", Text = "?", Form = AnswerForm.YesNo };

    [Theory]
    [InlineData("""{"answer":"a"}""")]
    [InlineData("""Here it is: {"answer":"a"} and that is all, {not json} .""")]
    [InlineData("Look:\n```json\n{\n  \"answer\": \"a\", // sure\n  \"evidence\": [],\n}\n```\n")]
    [InlineData("""Like {"answer":"an example"} or so. {"answer":"a","evidence":null}""")]
    [InlineData("""void f() { if (x) { "y"; } } {"answer":"a"} {"other":{"answer":"inside of another"}}""")]
    [InlineData("""{"answer":"broken", {"answer":"a"}""")]
    [InlineData("{\"b\\ud800\":1} {\"answer\":\"a\"}")]
    [InlineData("{\"answer\":\"b\",\"a\\ud800\":1} {\"answer\":\"a\"} {\"answer\":\"c\",\"a\\ud800\":1}")]
    public void The_last_object_with_an_answer_counts_wherever_it_stands(string said)
    {
        var reading = AnswerReader.Read(Words, said);
        reading.Fault.ShouldBeNull();
        reading.Answer!.Value.GetString().ShouldBe("a");
        reading.Evidence!.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("")]
    [InlineData("It is fine.")]
    [InlineData("{")]
    [InlineData("""{"Answer":"a"}""")]
    [InlineData("""["answer"]""")]
    public void Without_one_the_fault_says_what_is_missing(string said) => AnswerReader.Read(Words, said).Fault!.ShouldContain("no JSON object");

    [Theory]
    [InlineData("""{"answer":3}""", "must be a string")]
    [InlineData("""{"answer":" "}""", "an empty string")]
    [InlineData("""{"answer":"\ud800"}""", "surrogate")]
    [InlineData("""{"answer":"a","evidence":"a.cs"}""", "\"evidence\" must be an array")]
    [InlineData("""{"answer":"a","evidence":["a.cs"]}""", "\"evidence[0]\" must be an object")]
    [InlineData("""{"answer":"a","evidence":[{"file":"a.cs"},{"file":"b.cs","line":"first"}]}""", "\"evidence[1]\" must be an object")]
    [InlineData("""{"answer":"a","evidence":[{"note":"seen"}]}""", "names neither a file nor a command")]
    [InlineData("""{"answer":"a","evidence":[{"file":"a","line":4,"endLine":3}]}""", "endLine")]
    public void What_is_wrong_is_said_in_words_for_who_gave_it(string said, string words) => AnswerReader.Read(Words, said).Fault!.ShouldContain(words);

    [Theory]
    [InlineData("true", true)]
    [InlineData("\"Yes.\"", true)]
    [InlineData("\"no\"", false)]
    [InlineData("\"FALSE\"", false)]
    public void A_word_for_yes_or_no_is_one(string answer, bool truth)
    {
        var reading = AnswerReader.Read(YesNo, """{"answer":ANSWER,"evidence":[{"file":"a.cs","line":"12"}]}""".Replace("ANSWER", answer));
        (reading.Fault, reading.Answer?.GetBoolean(), reading.Evidence?.Single().Line).ShouldBe((null, truth, 12));
    }

    [Fact]
    public void A_yes_without_evidence_is_none() => AnswerReader.Read(YesNo, """{"answer":true,"evidence":[]}""").Fault!.ShouldContain("at least one element");

    /// <summary>However long and however full of braces it is, it is read at once.</summary>
    [Fact]
    public void Code_without_end_costs_no_time()
    {
        foreach (var piece in (string[])["{", "{\"a\":", "{\"a\":[", "{ \"", "[{\"a\":\"{\"},", "{\"answer\":", "{\"answer\":\"{\\\""])
        {
            var said = string.Concat(Enumerable.Repeat(piece, WireLimits.MaxResponseBytes / piece.Length));
            AnswerReader.Read(Words, said).Fault.ShouldNotBeNull();
            AnswerReader.Read(Words, said + " \n{\"answer\":\"a\"}").Fault.ShouldBeNull(piece);
        }
    }

    /// <summary>A seed for each: pieces of JSON and prose in any order. Nothing is thrown; what is read passes the server's own check.</summary>
    [Fact]
    public void Nothing_that_is_said_can_throw_and_what_is_read_is_good()
    {
        string[] pieces =
        [
            "{", "}", "[", "]", "\"", ",", ":", "\\", "\\ud800", "\\u0000", "\"answer\"", "\"evidence\"", "{\"answer\":", "true", "null", "3", "\"words\"", "{\"file\":\"a\"}", "```json\n", "\n```", " ", "ü😀", "{\"answer\":\"x\"}",
            "[{\"command\":\"ls\"}]", "\ud800",
        ];
        TaskQuestion[] questions = [Words, YesNo, new() { Name = "q", Text = "?", Form = AnswerForm.List }, new() { Name = "q", Text = "?", Form = AnswerForm.Object, Fields = ["a"] }];
        var good = 0;
        for (var seed = 0; seed < 20_000; seed++)
        {
            var random = new Random(seed);
            var said = new StringBuilder();
            for (var i = random.Next(12); i >= 0; i--) said.Append(pieces[random.Next(pieces.Length)]);
            var question = questions[random.Next(questions.Length)];
            var reading = AnswerReader.Read(question, said.ToString());
            if (reading.Fault is not null) continue;
            good++;
            AnswerForms.Fault(question, reading.Answer, reading.Evidence).ShouldBeNull();
        }
        good.ShouldBeGreaterThan(20);
    }
}
