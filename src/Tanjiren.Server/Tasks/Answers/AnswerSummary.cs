using System.Globalization;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Artifacts;

namespace Tanjiren.Server.Tasks.Answers;

/// <summary>The part of a task's summary that closes an investigation: each question, what was answered on each workstation, on how much evidence, and what is missing. Pure.</summary>
internal static class AnswerSummary
{
    /// <summary>Of all steps together: a summary is read by people.</summary>
    private const int MaxAnswers = 1000;

    /// <summary>Markdown; empty when nothing was asked.</summary>
    public static string Text(IReadOnlyList<TaskQuestion>? questions, IReadOnlyList<StepRow> steps, IReadOnlyList<AnswerRow> answers)
    {
        if (questions is not { Count: > 0 } || steps.Count == 0) return "";
        var byPlace = answers.ToDictionary(a => (a.StepId, a.Ordinal));
        var answered = answers.Count(a => a.Answered != 0);
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"\n## Questions\n\n{answered} of {questions.Count * steps.Count} answered");
        text.Append(steps.Count == 1 ? ".\n" : $", on {steps.Count} workstations.\n");
        var told = 0;
        for (var i = 0; i < questions.Count; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n### {i + 1}. {PlainMarkdown.Line(questions[i].Name!)}\n\n{PlainMarkdown.Line(AnswerText.Short(questions[i].Text!))}\n");
            foreach (var step in steps)
            {
                if (++told > MaxAnswers) return text.Append("\nThere are more than fit here; the artifacts have all of them.\n").ToString();
                text.Append(CultureInfo.InvariantCulture, $"\nOn {PlainMarkdown.Line(step.InstanceName ?? "no workstation")}: {Line(byPlace.GetValueOrDefault((step.Id, i)))}\n");
            }
        }
        return text.ToString();
    }

    private static string Line(AnswerRow? row) => row switch
    {
        null => "not asked, or nothing came back.",
        { Answered: 0 } => $"not answered: {PlainMarkdown.Line(row.Words)} ({row.ArtifactId})",
        _ => $"{PlainMarkdown.Line(row.Words)} ({(row.EvidenceCount == 1 ? "1 piece" : $"{row.EvidenceCount} pieces")} of evidence; {row.ArtifactId})",
    };
}
