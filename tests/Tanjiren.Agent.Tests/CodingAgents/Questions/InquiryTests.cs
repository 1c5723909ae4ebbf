using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.CodingAgents.Questions;
using Tanjiren.Agent.Masking;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.CodingAgents.Questions;

/// <summary>The order of questions alone, turn by turn.</summary>
public sealed class InquiryTests
{
    private readonly Inquiry inquiry = new([new() { Name = "a", Text = "What?" }, new() { Name = "b", Text = "Which?", Form = AnswerForm.List }], "The house.");

    [Fact]
    public void Each_is_asked_with_its_text_and_form_and_what_they_are_about_is_said_once()
    {
        inquiry.First.ShouldSatisfyAllConditions(
            text => text.ShouldContain("The house."), text => text.ShouldContain("Question 1 of 2:\n\nWhat?"), text => text.ShouldContain("""{"answer": "words", "evidence": ["""));
        var next = inquiry.Next(Said("""{"answer":"It."}"""));
        next.Text!.ShouldSatisfyAllConditions(
            text => text.ShouldNotContain("The house."), text => text.ShouldContain("Question 2 of 2:\n\nWhich?"), text => text.ShouldContain("is an array of strings"));
        next.Events.Select(e => e.GetType()).ShouldBe([typeof(QuestionSettled), typeof(QuestionAsked)]);
    }

    [Fact]
    public void It_is_asked_again_once_with_what_was_wrong()
    {
        var again = inquiry.Next(Said("""{"answer":["It."]}"""));
        again.Text!.ShouldContain("can't be used: \"answer\" must be a string with words in it, and is an array.");
        again.Text!.ShouldContain("What?");

        var settled = Settled(inquiry.Next(Said("No idea.")));
        (settled.Question, settled.Answer, settled.Said, settled.Asked).ShouldBe(("a", null, "No idea.", 2));
        Settled(inquiry.Next(Said("""{"answer":["x"]}"""))).Answer!.Value.GetRawText().ShouldBe("""["x"]""");
        (inquiry.Judge().ExitCode, inquiry.Judge().Detail).ShouldBe((1, "1 of 2 questions were answered; not: a."));
    }

    [Fact]
    public void The_end_of_a_turn_at_a_limit_is_no_fault_where_the_answer_is_there()
    {
        Settled(inquiry.Next(new TurnOver("max_tokens", """{"answer":"It."}""", false))).Answer.ShouldNotBeNull();
        inquiry.Next(new TurnOver("max_turn_requests", "", false)).Text!.ShouldContain("limit of requests");
    }

    [Fact]
    public void Who_is_cancelled_has_what_was_answered_and_no_more()
    {
        inquiry.Next(new TurnOver("cancelled", "I was", true)).ShouldSatisfyAllConditions(n => n.Text.ShouldBeNull(), n => n.Events.ShouldBeEmpty());
        var last = inquiry.Next(new TurnOver("end_turn", """{"answer":"It."}""", true));
        (last.Text, last.Events.Single().GetType()).ShouldBe((null, typeof(QuestionSettled)));
        inquiry.Progress.ShouldBe("1 of 2 questions were answered");
    }

    [Fact]
    public void All_answered_is_a_success()
    {
        inquiry.Next(Said("""{"answer":"It."}"""));
        var last = inquiry.Next(Said("""{"answer":[]}"""));
        last.Text.ShouldBeNull();
        (inquiry.Judge().Outcome, inquiry.Judge().ExitCode).ShouldBe((StepOutcome.Succeeded, 0));
    }

    [Fact]
    public void What_is_kept_of_words_and_problems_has_an_end()
    {
        inquiry.Next(Said("x"));
        var settled = MaskedAnswer.Of(Settled(inquiry.Next(new TurnOver(new string('y', 10_000), new string('z', 100_000) + "\0", false))), new TaskQuestion(), StepMasks.None);
        (settled.Problem!.Length <= 2000, settled.Said!.Length <= WireLimits.MaxSaidLength, settled.Said.Contains('\0')).ShouldBe((true, true, false));
    }

    private static TurnOver Said(string words) => new("end_turn", words, false);

    private static StepAnswerRequest Settled(NextTurn next) => next.Events.OfType<QuestionSettled>().Single().Answer;
}
