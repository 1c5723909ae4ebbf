using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.Execution;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents.Questions;

/// <summary>
/// The questions of an investigation, one after another in one session: each is asked, its answer is checked, and it is asked once more with what was wrong. Then what became of it is settled, and the
/// next one is asked: one bad answer must not cost the others. Pure; its session calls it, and what is settled is told as <see cref="QuestionSettled"/>.
/// </summary>
internal sealed class Inquiry(IReadOnlyList<TaskQuestion> questions, string? about)
{
    private const int MaxAsked = 2;

    private readonly List<string> missing = [];
    private int current;
    private int asked = 1;

    /// <summary>What is said first.</summary>
    public string First => QuestionWords.Ask(questions[0], 1, questions.Count, about);

    /// <summary>Told before that.</summary>
    public SessionEvent Opening => new QuestionAsked(questions[0], 1, questions.Count, null);

    /// <summary>The one that this is the answer of.</summary>
    public TaskQuestion QuestionOf(StepAnswerRequest settled) => questions.Single(q => q.Name == settled.Question);

    /// <summary>How far it has come, for people.</summary>
    public string Progress => $"{current - missing.Count} of {questions.Count} questions were answered";

    /// <summary>After a turn that answers the question of that moment, or does not.</summary>
    public NextTurn Next(TurnOver turn)
    {
        var question = questions[current];
        var reading = AnswerReader.Read(question, turn.Said);
        if (reading.Fault is { } unread)
        {
            // Whoever stops us stops the question too: nothing is to be said of it.
            if (turn.WasCancelled) return new NextTurn(null, []);
            var fault = turn.StopReason == "end_turn" ? unread : $"{WhyItEnded(turn.StopReason)}, and {unread}";
            if (asked < MaxAsked)
            {
                asked++;
                return new NextTurn(QuestionWords.AskAgain(question, current + 1, questions.Count, fault), [new QuestionAsked(question, current + 1, questions.Count, fault)]);
            }
            missing.Add(question.Name!);
            return Settle(new StepAnswerRequest
            {
                Question = question.Name, Problem = $"asked twice, and its answer could not be used: {fault}", Said = SaidOf(turn.Said), Asked = asked,
            }, turn);
        }
        return Settle(new StepAnswerRequest { Question = question.Name, Answer = reading.Answer, Evidence = reading.Evidence, Asked = asked }, turn);
    }

    /// <summary>What it means that its session ended by itself.</summary>
    public CompleteRequest Judge()
    {
        if (current == questions.Count && missing.Count == 0) return new CompleteRequest { Outcome = StepOutcome.Succeeded, ExitCode = 0 };
        var left = missing.Concat(questions.Skip(current).Select(q => q.Name!));
        return StepResult.Failed(StepReason.ExitCode, $"{Progress}; not: {string.Join(", ", left)}.") with { ExitCode = 1 };
    }

    private NextTurn Settle(StepAnswerRequest answer, TurnOver turn)
    {
        (current, asked) = (current + 1, 1);
        var settled = new QuestionSettled(answer);
        if (current == questions.Count || turn.WasCancelled) return new NextTurn(null, [settled]);
        return new NextTurn(QuestionWords.Ask(questions[current], current + 1, questions.Count, null), [settled, new QuestionAsked(questions[current], current + 1, questions.Count, null)]);
    }

    private static string? SaidOf(string said)
    {
        var words = said.Replace("\0", "", StringComparison.Ordinal);
        return string.IsNullOrWhiteSpace(words) ? null : words;
    }

    private static string WhyItEnded(string stopReason) => stopReason switch
    {
        "max_tokens" => "your turn ended at its limit of tokens",
        "max_turn_requests" => "your turn ended at its limit of requests",
        "refusal" => "you refused to go on",
        "cancelled" => "your turn was cancelled, as when a tool is denied",
        _ => $"your turn ended with '{stopReason}'",
    };
}
