using System.Globalization;
using System.Text;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents.Questions;

/// <summary>What a coding agent is told, question by question: what is asked, and exactly how to answer it. Pure.</summary>
internal static class QuestionWords
{
    private const string Evidence = """[{"file": "path/of/a/file", "line": 10, "endLine": 12, "note": "what is to be seen there"}, {"command": "a command that you ran", "note": "what it showed"}]""";

    /// <param name="question">Which.</param>
    /// <param name="number">Its place, from 1.</param>
    /// <param name="of">How many there are.</param>
    /// <param name="about">What all of them are about; it is said once.</param>
    public static string Ask(TaskQuestion question, int number, int of, string? about)
    {
        var text = new StringBuilder();
        if (number == 1) text.Append(CultureInfo.InvariantCulture, $"You are asked {(of == 1 ? "a question" : $"{of} questions, one after another,")} about the directory that you are in. Only look: change nothing, unless a question says so.\n\n");
        if (!string.IsNullOrWhiteSpace(about)) text.Append(CultureInfo.InvariantCulture, $"What this is about:\n\n{about.Trim()}\n\n");
        return text.Append(CultureInfo.InvariantCulture, $"Question {number} of {of}:\n\n{question.Text!.Trim()}\n\n{Format(question)}").ToString();
    }

    public static string AskAgain(TaskQuestion question, int number, int of, string fault) =>
        $"Your answer to question {number} of {of} can't be used: {fault}. It is asked once more, for the last time:\n\n{question.Text!.Trim()}\n\n{Format(question)}";

    private static string Format(TaskQuestion question)
    {
        var (example, rule) = (question.Form ?? AnswerForm.Text) switch
        {
            AnswerForm.Text => ("\"words\"", "\"answer\" is a string."),
            AnswerForm.List => ("[\"first\", \"second\"]", "\"answer\" is an array of strings, one for each thing; an empty one if there is none."),
            AnswerForm.YesNo => ("true", "\"answer\" is true for yes or false for no, and nothing else; \"evidence\" has at least one element."),
            _ => ($"{{{string.Join(", ", question.Fields!.Select(f => $"\"{f}\": …"))}}}",
                $"\"answer\" is an object with exactly these fields: {string.Join(", ", question.Fields!)}. Give null for what can't be found out."),
        };
        return $$"""
            Find out what you need to know, and then end your turn with one JSON object in a fenced block, and nothing after it:

            ```json
            {"answer": {{example}}, "evidence": {{Evidence}}}
            ```

            {{rule}} "evidence" is what your answer stands on: the files and lines that you read and the commands that you ran, each with a file or a command, at most {{WireLimits.MaxEvidence}}.
            """;
    }
}
