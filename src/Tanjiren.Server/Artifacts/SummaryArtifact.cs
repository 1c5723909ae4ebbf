using System.Globalization;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Answers;

namespace Tanjiren.Server.Artifacts;

/// <summary>
/// What a task leaves behind when it ends, also for the time when its steps and logs are gone: the outcome and duration of each step, and the last output of those
/// that failed; of an investigation what became of each question. Written with the end itself, and once for each task.
/// </summary>
internal static class SummaryArtifact
{
    private const int MaxTails = 10;
    private const int TailChunks = 4;

    /// <summary>The last output of each step that failed, of at most ten.</summary>
    public static async Task<IReadOnlyList<(StepRow Step, byte[] Output)>> TailsAsync(WriteTransaction tx, IReadOnlyList<StepRow> steps)
    {
        var tails = new List<(StepRow Step, byte[] Output)>();
        foreach (var step in steps.Where(s => s.State == "failed").Take(MaxTails))
            if (await TailAsync(tx, step) is { Length: > 0 } output) tails.Add((step, output));
        return tails;
    }

    /// <summary>Adds it to what <paramref name="locked"/> writes when it is saved.</summary>
    public static void Add(LockedExecution locked, TaskState state, string outcome, IReadOnlyList<StepRow> steps, IReadOnlyList<(StepRow Step, byte[] Output)> tails,
        IReadOnlyList<AnswerRow> answers)
    {
        var content = Encoding.UTF8.GetBytes(Text(state, locked.Intent, outcome, steps, tails) + AnswerSummary.Text(locked.ParsedSpec.Questions, steps, answers));
        var draft = new ArtifactDraft { Kind = ArtifactKind.Summary, Title = $"{state}: {locked.Intent}", MediaType = ArtifactRules.Markdown, Content = content };
        locked.Also("""
            INSERT INTO artifacts (id, organization_id, task_id, task_intent, investigation_id, kind, title, media_type, size_bytes, sha256, created_at, content)
            VALUES (@summaryId, @summaryOf, @summaryTask, @summaryIntent, @summaryIn, 'summary', @summaryTitle, @summaryType, @summarySize, @summaryDigest, @summaryAt, @summaryText)
            ON CONFLICT DO NOTHING;
            """,
            new
            {
                summaryId = Ids.New(Ids.Artifact, DateTimeOffset.FromUnixTimeMilliseconds(locked.Now)), summaryOf = locked.OrganizationId, summaryTask = locked.TaskId,
                summaryIntent = locked.Intent, summaryIn = locked.InvestigationId, summaryTitle = draft.Title, summaryType = draft.MediaType,
                summarySize = content.LongLength, summaryDigest = draft.Sha256, summaryAt = locked.Now, summaryText = content,
            });
    }

    /// <summary>The Markdown. Text of others in it stays text: cells are escaped, output is indented and so neither markup nor HTML.</summary>
    public static string Text(TaskState state, string intent, string outcome, IReadOnlyList<StepRow> steps, IReadOnlyList<(StepRow Step, byte[] Output)> tails)
    {
        var text = new StringBuilder($"# {state}: {PlainMarkdown.Line(intent)}\n\n{PlainMarkdown.Line(outcome)}\n");
        if (steps.Count > 0) text.Append("\n| step | workstation | outcome | took |\n|---|---|---|---|\n");
        foreach (var step in steps)
            text.Append(CultureInfo.InvariantCulture, $"| {step.Ordinal + 1} | {PlainMarkdown.Line(step.InstanceName ?? "none")} | {PlainMarkdown.Line(HowItEnded(step))} | {OutcomeSummary.Took(step) ?? "-"} |\n");
        foreach (var (step, output) in tails)
        {
            text.Append(CultureInfo.InvariantCulture, $"\nThe last output of step {step.Ordinal + 1} on {PlainMarkdown.Line(step.InstanceName ?? "none")}:\n\n");
            foreach (var line in Encoding.UTF8.GetString(output).ReplaceLineEndings("\n").TrimEnd('\n').Split('\n')) text.Append("    ").Append(PlainMarkdown.Visible(line)).Append('\n');
        }
        return text.ToString();
    }

    /// <summary>What the agent sent with the result; if nobody did (its worker was lost), the end of what is stored of the newest claim that printed anything.</summary>
    private static async Task<byte[]?> TailAsync(WriteTransaction tx, StepRow step)
    {
        if (step.OutputPreview is { } preview) return preview;
        var chunks = await tx.ListAsync<byte[]>("""
            SELECT data FROM step_logs WHERE step_id = @Id AND generation = (SELECT max(generation) FROM step_logs WHERE step_id = @Id) ORDER BY seq DESC LIMIT @TailChunks
            """, new { step.Id, TailChunks });
        var all = chunks.Reverse().SelectMany(chunk => chunk).ToArray();
        return all[Math.Max(0, all.Length - WireLimits.MaxOutputPreviewBytes)..];
    }

    private static string HowItEnded(StepRow step)
    {
        var why = step.State == "succeeded" ? step.State : OutcomeSummary.HowItEnded(step);
        return why == step.State ? why : $"{step.State}: {why}";
    }
}
