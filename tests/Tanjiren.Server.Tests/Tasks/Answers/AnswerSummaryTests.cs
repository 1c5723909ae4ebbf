using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Answers;

namespace Tanjiren.Server.Tests.Tasks.Answers;

/// <summary>What people read of an investigation: nothing that a model wrote is markup, and nothing that is missing is left out.</summary>
public sealed class AnswerSummaryTests
{
    private static readonly TaskQuestion[] Questions = [new() { Name = "a_b", Text = "What\n# is it?" }, new() { Name = "c", Text = "Which?" }, new() { Name = "d", Text = "Where?" }];

    [Fact]
    public void Every_question_is_there_with_its_answer_or_why_there_is_none()
    {
        var text = AnswerSummary.Text(Questions, [Step("s1", "box")],
        [
            new AnswerRow { StepId = "s1", Ordinal = 0, Answered = 1, Words = Line("\"<b>It\\n# is *this*\""), EvidenceCount = 2, ArtifactId = "art_1" },
            new AnswerRow { StepId = "s1", Ordinal = 1, Words = "asked twice", ArtifactId = "art_2" },
        ]);
        text.ShouldBe("""

            ## Questions

            1 of 3 answered.

            ### 1. a\_b

            What \# is it?

            On box: \<b\>It \# is \*this\* (2 pieces of evidence; art_1)

            ### 2. c

            Which?

            On box: not answered: asked twice (art_2)

            ### 3. d

            Where?

            On box: not asked, or nothing came back.

            """);
    }

    [Fact]
    public void Of_several_workstations_each_is_told_and_what_is_too_much_is_cut()
    {
        var text = AnswerSummary.Text(Questions, [.. Enumerable.Range(0, 400).Select(i => Step($"s{i}", $"box{i}"))], [new AnswerRow { StepId = "s1", Ordinal = 0, Answered = 1, Words = Line($"\"{new string('x', 5000)}\"") }]);
        text.ShouldContain("1 of 1200 answered, on 400 workstations.");
        text.ShouldContain(new string('x', 400) + "… (0 pieces of evidence");
        text.ShouldNotContain(new string('x', 401));
        text.ShouldEndWith("There are more than fit here; the artifacts have all of them.\n");
    }

    [Fact]
    public void Where_nothing_was_asked_there_is_nothing()
    {
        AnswerSummary.Text(null, [Step("s1", "box")], []).ShouldBe("");
        AnswerSummary.Text(Questions, [], []).ShouldBe("");
    }

    [Fact]
    public void An_answer_as_an_artifact_has_its_evidence_and_no_markup_of_others()
    {
        var draft = AnswerText.Of(new TaskQuestion { Name = "langs", Text = "Which\nlanguages?", Form = AnswerForm.List }, new StepAnswerRequest
        {
            Question = "langs", Asked = 2, Answer = System.Text.Json.JsonDocument.Parse("""["C#","<script>\n# x"]""").RootElement,
            Evidence = [new() { File = "a_b.cs", Line = 3, EndLine = 9, Note = "seen" }, new() { Command = "ls | wc", File = "c", Line = 4 }],
        }, "bo*x");
        (draft.Kind, draft.Title, draft.MediaType).ShouldBe((ArtifactKind.Note, "langs: Which languages?", "text/markdown"));
        System.Text.Encoding.UTF8.GetString(draft.Content!).ShouldBe("""
            # langs

                Which
                languages?

            Answered on bo\*x, asked twice:

                - C#
                - <script>
                # x

            Evidence:

            - a\_b.cs:3-9: seen
            - c:4; $ ls \| wc

            """);
    }

    [Fact]
    public void What_is_no_answer_is_kept_with_why()
    {
        var draft = AnswerText.Of(new TaskQuestion { Name = "q", Text = new string('?', 300) }, new StepAnswerRequest { Question = "q", Asked = 2, Problem = "asked twice", Said = "I\u001b[2J don't\nknow" }, null);
        (draft.Title.Length, draft.Title[..19]).ShouldBe((WireLimits.MaxTitleLength, "q (not answered): ?"));
        System.Text.Encoding.UTF8.GetString(draft.Content!).ShouldEndWith("Not answered on a workstation: asked twice\n\nWhat was said:\n\n    I\uFFFD[2J don't\n    know\n");
    }

    private static string Line(string json) => AnswerText.Line(new StepAnswerRequest { Answer = System.Text.Json.JsonDocument.Parse(json).RootElement });

    private static StepRow Step(string id, string name) => new() { Id = id, InstanceName = name };
}
