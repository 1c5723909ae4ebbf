using System.Globalization;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Artifacts;

/// <summary>
/// What a task leaves behind when it ends, also for the time when its steps and logs are gone: the outcome and duration of each step, and the last output of those
/// that failed. Written with the end itself, and once for each task.
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
    public static void Add(LockedExecution locked, TaskState state, string outcome, IReadOnlyList<StepRow> steps, IReadOnlyList<(StepRow Step, byte[] Output)> tails)
    {
        var content = Encoding.UTF8.GetBytes(Text(state, locked.Intent, outcome, steps, tails));
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
        var text = new StringBuilder($"# {state}: {Escaped(intent)}\n\n{Escaped(outcome)}\n");
        if (steps.Count > 0) text.Append("\n| step | workstation | outcome | took |\n|---|---|---|---|\n");
        foreach (var step in steps)
            text.Append(CultureInfo.InvariantCulture, $"| {step.Ordinal + 1} | {Escaped(step.InstanceName ?? "none")} | {Escaped(HowItEnded(step))} | {OutcomeSummary.Took(step) ?? "-"} |\n");
        foreach (var (step, output) in tails)
        {
            text.Append(CultureInfo.InvariantCulture, $"\nThe last output of step {step.Ordinal + 1} on {Escaped(step.InstanceName ?? "none")}:\n\n");
            foreach (var line in Encoding.UTF8.GetString(output).ReplaceLineEndings("\n").TrimEnd('\n').Split('\n')) text.Append("    ").Append(Visible(line)).Append('\n');
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

    /// <summary>As one line of text in Markdown.</summary>
    private static string Escaped(string text)
    {
        var escaped = new StringBuilder(text.Length);
        foreach (var c in Visible(text)) escaped.Append(c is '\\' or '`' or '*' or '_' or '[' or ']' or '<' or '>' or '|' or '#' or '!' or '&' ? "\\" + c : c.ToString());
        return escaped.ToString();
    }

    /// <summary>Without what would move a terminal's cursor or change its colours.</summary>
    private static string Visible(string line) => new([.. line.Select(c => c == '\t' ? ' ' : char.IsControl(c) ? '\uFFFD' : c)]);
}
