using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust.Rotations;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Assignments;

/// <summary>Reads what it takes to verify a step. It judges nothing: what is stored goes out as it is.</summary>
internal sealed class StepReceipts(Database database, KeyRecords keyRecords, WorkKeys workKeys)
{
    /// <summary>Null when the step is not of this task and organization.</summary>
    public async Task<StepReceiptBody?> FindAsync(string organizationId, string taskId, string stepId, CancellationToken cancellationToken)
    {
        var (step, claims) = await database.ReadAsync<(SignedStep?, IReadOnlyList<ClaimRow>)>(async sql =>
            await sql.FirstAsync<SignedStep>("""
                SELECT s.*, t.spec, t.logs_deleted_at, r.response, r.usage FROM steps s JOIN tasks t ON t.id = s.task_id LEFT JOIN step_responses r ON r.step_id = s.id
                WHERE s.id = @stepId AND s.task_id = @taskId AND s.organization_id = @organizationId
                """, new { organizationId, taskId, stepId }) is { } found
                ? (found, await sql.ListAsync<ClaimRow>("SELECT generation, instance_id, receipt FROM step_claims WHERE step_id = @stepId ORDER BY generation", new { stepId }))
                : (null, []), cancellationToken);
        if (step is null) return null;
        var spec = JsonSerializer.Deserialize(step.Spec, WireJson.Default.CreateTaskRequest)!;
        var answers = spec.Questions is null ? [] : await database.ReadAsync(sql => sql.ListAsync<AnsweredRow>(
            "SELECT ordinal, answer, problem FROM step_answers WHERE step_id = @stepId AND generation = @CompletedGeneration ORDER BY ordinal", new { stepId, step.CompletedGeneration }), cancellationToken);
        var chains = new List<KeyChainBody>();
        foreach (var instanceId in claims.Where(claim => claim.Receipt is not null).Select(claim => claim.InstanceId).Distinct())
            if (await keyRecords.ChainOfAsync(organizationId, instanceId, cancellationToken) is { } chain) chains.Add(chain);
        return new StepReceiptBody
        {
            TaskId = taskId,
            StepId = stepId,
            State = WireNames.Parse<StepState>(step.State),
            Outcome = step.Outcome is null ? null : WireNames.Parse<StepOutcome>(step.Outcome),
            Reason = step.Reason is null ? null : WireNames.Parse<StepReason>(step.Reason),
            Detail = step.Detail,
            ExitCode = step.ExitCode,
            Signal = step.Signal,
            DurationMs = step.DurationMs,
            OutputPreview = step.OutputPreview,
            Response = step.Response,
            Answers = answers.Count == 0 ? null : [.. answers.Select(row => new SignedAnswer(spec.Questions![row.Ordinal].Name, row.Answer is null ? null : JsonSerializer.Deserialize(row.Answer, WireJson.Default.JsonElement), row.Problem))],
            Usage = step.Usage is null ? null : JsonSerializer.Deserialize(step.Usage, WireJson.Default.TokenUsage),
            FinalLogSeq = step.FinalLogSeq,
            Truncated = step.Truncated != 0,
            ResultDigest = step.ResultDigest,
            CompletedGeneration = step.CompletedGeneration,
            LogsDeletedAt = TaskMapping.Instant(step.LogsDeletedAt),
            Work = AssignedWork.Of(spec),
            Claims = [.. claims.Select(claim => new ClaimReceiptBody { Generation = claim.Generation, InstanceId = claim.InstanceId, Receipt = claim.Receipt })],
            Chains = chains,
            WorkKeys = (await workKeys.NewestAsync(cancellationToken)).ToBody(),
        };
    }

    private sealed record SignedStep : StepRow
    {
        public string Spec { get; init; } = "";
        public long? LogsDeletedAt { get; init; }
        public string? Response { get; init; }
        public string? Usage { get; init; }
    }

    private sealed record AnsweredRow
    {
        public int Ordinal { get; init; }
        public string? Answer { get; init; }
        public string? Problem { get; init; }
    }

    private sealed record ClaimRow
    {
        public long Generation { get; init; }
        public string InstanceId { get; init; } = "";
        public string? Receipt { get; init; }
    }
}
