using Tanjiren.Agent.CodingAgents;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.CodingAgents.Acp;

/// <content>What it asks people, and what it is answered.</content>
public sealed partial class AcpSessionTests
{
    [Theory]
    [InlineData(nameof(PermissionVerdict.Allow), """{"outcome":"selected","optionId":"b"}""")]
    [InlineData(nameof(PermissionVerdict.Deny), """{"outcome":"selected","optionId":"c"}""")]
    public void A_permission_is_answered_by_kind(string verdict, string outcome)
    {
        Open();
        Receive(Permission("\"x\""));
        var question = session.Questions.Dequeue();
        question.Tool.Title.ShouldBe("run");
        session.Answer(question, new PermissionAnswer(Enum.Parse<PermissionVerdict>(verdict), "test"));
        session.Answer(question, new PermissionAnswer(PermissionVerdict.Allow, "again"));

        var answer = Sent().Single();
        answer.GetProperty("id").GetString().ShouldBe("x");
        answer.GetProperty("result").GetProperty("outcome").GetRawText().ShouldBe(outcome);
    }

    [Fact]
    public void An_answer_to_one_question_is_none_to_the_next_of_the_same_id()
    {
        Open();
        Receive(Permission("1"));
        Receive(Permission("1"));
        session.Answer(session.Questions.Dequeue(), new PermissionAnswer(PermissionVerdict.Allow, "the first"));
        Sent().ShouldBeEmpty();
        session.Answer(session.Questions.Dequeue(), new PermissionAnswer(PermissionVerdict.Deny, "the second"));
        Sent().Single().GetProperty("result").GetProperty("outcome").GetRawText().ShouldBe("""{"outcome":"selected","optionId":"c"}""");
    }

    [Fact]
    public void Where_only_lasting_answers_are_offered_the_request_is_cancelled()
    {
        Open();
        Receive(Permission("1", """[{"optionId":"a","name":"x","kind":"allow_always"},{"optionId":"b","name":"y","kind":"reject_always"}]"""));
        session.Answer(session.Questions.Dequeue(), new PermissionAnswer(PermissionVerdict.Allow, "test"));
        Sent().Single().GetProperty("result").GetProperty("outcome").GetRawText().ShouldBe("""{"outcome":"cancelled"}""");
    }

    [Fact]
    public void An_answer_is_for_the_question_that_was_asked_and_not_for_another_under_its_id()
    {
        Open();
        Receive(Permission("7"));
        var harmless = session.Questions.Dequeue();
        Receive(Permission("7"));
        var other = session.Questions.Dequeue();
        session.Events.OfType<PermissionSettled>().Single().ShouldSatisfyAllConditions(s => s.Question.ShouldBeSameAs(harmless), s => s.Told.ShouldBe(PermissionTold.Withdrawn));

        session.Answer(harmless, new PermissionAnswer(PermissionVerdict.Allow, "late"));
        Sent().ShouldBeEmpty();
        session.Answer(other, new PermissionAnswer(PermissionVerdict.Deny, "test"));
        Sent().Single().GetProperty("result").GetProperty("outcome").GetProperty("optionId").GetString().ShouldBe("c");
    }

    [Theory]
    [InlineData(PermissionVerdict.Allow, "a", "a")]
    [InlineData(PermissionVerdict.Allow, "c", "b")] // it contradicts the verdict, which counts
    [InlineData(PermissionVerdict.Allow, "?", "b")]
    [InlineData(PermissionVerdict.Deny, "a", "c")]
    public void An_option_is_chosen_by_id_only_where_it_says_the_same(PermissionVerdict verdict, string named, string chosen)
    {
        Open();
        Receive(Permission("1"));
        session.Answer(session.Questions.Dequeue(), new PermissionAnswer(verdict, "test", named));
        Sent().Single().GetProperty("result").GetProperty("outcome").GetProperty("optionId").GetString().ShouldBe(chosen);
    }

    [Fact]
    public void The_agent_may_withdraw_its_question()
    {
        Open();
        Receive(Permission("5"));
        Receive("""{"method":"$/cancel_request","params":{"requestId":5}}""");
        Sent().Single().GetProperty("error").GetProperty("code").GetInt32().ShouldBe(-32800);
        session.Answer(session.Questions.Dequeue(), new PermissionAnswer(PermissionVerdict.Deny, "late"));
        Sent().ShouldBeEmpty();
    }
}
