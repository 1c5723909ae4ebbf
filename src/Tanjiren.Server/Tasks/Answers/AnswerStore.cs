using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Artifacts;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks.Answers;

/// <summary>
/// Keeps what became of a step's questions, keyed by (step, generation, question), each with its artifact in one transaction. As with output, a workstation may add to generations that it held, also
/// after they ended, until their result: nothing that was found out is lost with a lease, and no state moves.
/// </summary>
internal sealed class AnswerStore(Database database, TimeProvider clock, WakeUps wakeUps, Counters counters, RunMetrics metrics)
{
    /// <summary>Of all answers of one task that are told as JSON.</summary>
    public const int MaxCharacters = 4 * 1024 * 1024;

    private const string Columns = "a.step_id, a.generation, a.ordinal, a.artifact_id, CASE WHEN a.answer IS NULL THEN 0 ELSE 1 END AS answered, a.problem, a.words, a.evidence_count, a.asked, a.answered_at";

    public async Task<KeptAnswer> KeepAsync(Device device, string stepId, StepAnswerRequest request, CancellationToken cancellationToken)
    {
        var kept = await database.WriteAsync(tx => KeepAsync(tx, device, stepId, request), cancellationToken);
        if (kept.Kind is KeptKind.SessionEnded or KeptKind.Completed or KeptKind.Conflict) counters.Add(Counted.WritesRefused);
        return kept;
    }

    /// <summary>
    /// Of each step and question one, in the order of steps and questions: the newest claim's that has an answer, or else the newest. With the answers themselves as long as there is room: a thousand
    /// machines may have given fifty of 64 KiB each.
    /// </summary>
    public static async Task<IReadOnlyList<AnswerRow>> OfTaskAsync(SqlSession sql, string taskId, bool withAnswers)
    {
        const string order = "s.ordinal, a.ordinal, CASE WHEN a.answer IS NULL THEN 1 ELSE 0 END, a.generation DESC";
        var answer = withAnswers ? $", CASE WHEN sum(coalesce(length(a.answer), 0)) OVER (ORDER BY {order}) <= @MaxCharacters THEN a.answer END AS answer" : "";
        var rows = await sql.ListAsync<AnswerRow>($"SELECT {Columns}{answer} FROM step_answers a JOIN steps s ON s.id = a.step_id WHERE s.task_id = @taskId ORDER BY {order}", new { taskId, MaxCharacters });
        return [.. rows.DistinctBy(r => (r.StepId, r.Ordinal))];
    }

    private async Task<KeptAnswer> KeepAsync(WriteTransaction tx, Device device, string stepId, StepAnswerRequest request)
    {
        var generation = request.LeaseGeneration!.Value;
        var locked = await LockedExecution.OfStepAsync(tx, stepId, clock, device.InstanceId, device.SessionId);
        if (locked is null || locked.OrganizationId != device.OrganizationId) return new KeptAnswer(KeptKind.NotFound);
        var claim = await tx.FirstAsync<ClaimRow>("""
            SELECT s.state, s.completed_generation, i.name AS instance_name
            FROM step_claims c JOIN steps s ON s.id = c.step_id LEFT JOIN instances i ON i.id = c.instance_id
            WHERE c.step_id = @stepId AND c.generation = @generation AND c.instance_id = @instanceId
            """, new { stepId, generation, instanceId = device.InstanceId });
        if (claim is null) return new KeptAnswer(KeptKind.NotFound);
        if (!locked.SessionOpen) return new KeptAnswer(KeptKind.SessionEnded);

        var questions = locked.ParsedSpec.Questions ?? [];
        var ordinal = questions.Select(q => q.Name).ToList().IndexOf(request.Question);
        if (ordinal < 0) return Invalid("question", $"the task has no question '{request.Question}'");
        if (request.Answer is not null && AnswerForms.Fault(questions[ordinal], request.Answer, request.Evidence) is { } fault) return Invalid("answer", fault);

        var digest = Digest(request);
        var known = await tx.FirstAsync<KnownRow>("SELECT artifact_id, digest FROM step_answers WHERE step_id = @stepId AND generation = @generation AND ordinal = @ordinal",
            new { stepId, generation, ordinal });
        if (known is not null) return new KeptAnswer(known.Digest == digest ? KeptKind.AlreadyDone : KeptKind.Conflict, known.ArtifactId) { State = claim.State };
        // What its holder has ended is whole: whoever has read the result has read every answer.
        if (claim.CompletedGeneration == generation) return new KeptAnswer(KeptKind.Completed) { State = claim.State };

        var artifactId = await AddArtifactAsync(tx, locked, device.InstanceId, AnswerText.Of(questions[ordinal], request, claim.InstanceName));
        await tx.ExecuteAsync("""
            INSERT INTO step_answers (step_id, generation, ordinal, artifact_id, answer, problem, words, evidence_count, asked, digest, answered_at)
            VALUES (@stepId, @generation, @ordinal, @artifactId, @answer, @problem, @words, @evidenceCount, @asked, @digest, @now)
            """,
            new
            {
                stepId, generation, ordinal, artifactId, answer = request.Answer is { } answer ? JsonSerializer.Serialize(answer, WireJson.Default.JsonElement) : null,
                problem = request.Answer is null ? request.Problem : null, words = AnswerText.Line(request), evidenceCount = request.Evidence?.Count ?? 0, asked = request.Asked ?? 1, digest, now = locked.Now,
            });
        locked.AddEvent(request.Answer is null ? "unanswered" : "answered", stepId, generation, device.InstanceId, request.Question);
        await locked.SaveAsync(wakeUps, metrics);
        return new KeptAnswer(KeptKind.Applied, artifactId);
    }

    /// <summary>Of the workstation, so that people tell it from what one of them wrote; the audit log has decisions of people only.</summary>
    private static async Task<string> AddArtifactAsync(WriteTransaction tx, LockedExecution locked, string instanceId, ArtifactDraft draft)
    {
        var id = Ids.New(Ids.Artifact, DateTimeOffset.FromUnixTimeMilliseconds(locked.Now));
        await tx.ExecuteAsync("""
            INSERT INTO artifacts (id, organization_id, task_id, task_intent, investigation_id, kind, title, media_type, size_bytes, sha256, created_by, created_at, content)
            VALUES (@id, @OrganizationId, @TaskId, @Intent, @InvestigationId, @kind, @Title, @MediaType, @size, @Sha256, @instanceId, @Now, @Content)
            """,
            new
            {
                id, locked.OrganizationId, locked.TaskId, locked.Intent, locked.InvestigationId, kind = WireNames.Of(draft.Kind), draft.Title, draft.MediaType,
                size = draft.Content!.LongLength, draft.Sha256, instanceId, locked.Now, draft.Content,
            });
        return id;
    }

    private static string Digest(StepAnswerRequest request) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(request, WireJson.Default.StepAnswerRequest))));

    private static KeptAnswer Invalid(string field, string message)
    {
        var errors = new FieldErrors();
        errors.Add(field, message);
        return new KeptAnswer(KeptKind.Invalid) { Errors = errors };
    }

    private sealed record ClaimRow
    {
        public string State { get; init; } = "";
        public long? CompletedGeneration { get; init; }
        public string? InstanceName { get; init; }
    }

    private sealed record KnownRow
    {
        public string ArtifactId { get; init; } = "";
        public string Digest { get; init; } = "";
    }
}

internal enum KeptKind
{
    Applied,
    /// <summary>The same was kept before.</summary>
    AlreadyDone,
    NotFound,
    SessionEnded,
    /// <summary>It is no answer to a question of this task: see <see cref="KeptAnswer.Errors"/>.</summary>
    Invalid,
    /// <summary>Something else was kept for this question and generation.</summary>
    Conflict,
    /// <summary>The result of this generation came before it.</summary>
    Completed,
}

internal sealed record KeptAnswer(KeptKind Kind, string? ArtifactId = null)
{
    public FieldErrors? Errors { get; init; }
    public string State { get; init; } = "";
}
