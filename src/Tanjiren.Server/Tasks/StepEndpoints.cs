using System.Text;
using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Assignments;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Workstations.Sessions;

namespace Tanjiren.Server.Tasks;

/// <summary>Workstations' routes for the steps that they run.</summary>
internal static class StepEndpoints
{
    public static void MapStepEndpoints(this IEndpointRouteBuilder routes)
    {
        var steps = routes.MapGroup("/api/steps/{id}").WithTags("Steps");
        steps.MapPost("/claim", ClaimAsync).RequireDevice().AnswersProblems(403, 404, 409, 415, 422).WithName("claimStep");
        steps.MapPost("/logs", LogsAsync).RequireDevice(WireLimits.MaxLogBodyBytes, WhenSignedOut.OwesOutput).AnswersProblems(404, 409, 415, 422).WithName("appendStepLogs");
        steps.MapPost("/complete", CompleteAsync).RequireDevice(whenSignedOut: WhenSignedOut.OwesOutput).AnswersProblems(404, 409, 415, 422).WithName("completeStep");
        steps.MapPost("/release", ReleaseAsync).RequireDevice(whenSignedOut: WhenSignedOut.HoldsLease).AnswersProblems(404, 409, 415, 422).WithName("releaseStep");
    }

    private static async Task<Results<Ok<ClaimResponse>, Problem>> ClaimAsync(
        string id, ClaimRequest request, Device device, StepClaimer claimer, AssignmentSigner signer, HttpContext context, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Require(Ids.IsValid(request.ClaimId, Ids.Claim), "claimId", "must be a claim id (clm_…)");
        RequireGeneration(request.ExpectedGeneration, "expectedGeneration", 0, errors);
        if (errors.Any) return errors.ToProblem();

        var result = await claimer.ClaimAsync(device, id, request.ClaimId!, request.ExpectedGeneration!.Value, cancellationToken);
        return result.Refusal switch
        {
            null => TypedResults.Ok(await signer.SignAsync(device, request.ClaimId!, result.Response!, result.Approval, cancellationToken)),
            ClaimRefusal.NotFound => Problem.NotFound("step", id),
            ClaimRefusal.SessionEnded => SessionEnded(),
            ClaimRefusal.SignedOut => SignedOutGate.Refuse(context),
            ClaimRefusal.Lost => LeaseLost(result.CurrentState!),
            ClaimRefusal.HeldAfterRestore => NotClaimable("The task is held since the server was restored from a backup, until the owner resumes.", result),
            ClaimRefusal.Draining => NotClaimable("This workstation is draining.", result),
            ClaimRefusal.MaxParallel => NotClaimable("As many steps of this task run as its maxParallel allows.", result),
            ClaimRefusal.NeedsApproval => Problem.Conflict(ErrorCode.NeedsApproval, "An admin or the owner must approve it before it starts.", "Poll for work again.", result.CurrentState),
            ClaimRefusal.Frozen => Problem.Conflict(ErrorCode.Frozen, "A freeze of the doctrine keeps it from starting now.", "Poll for work again.", result.CurrentState),
            ClaimRefusal.Forbidden => Problem.Of(403, ErrorCode.ForbiddenByDoctrine, "The doctrine forbids it on this workstation.", "Poll for work again.", result.CurrentState),
            ClaimRefusal.AtCapacity => NotClaimable("This workstation runs as many steps as its maxConcurrent allows.", result),
            _ => NotClaimable("The step has moved on since it was offered.", result),
        };
    }

    private static async Task<Results<Ok<AppendLogsResponse>, Problem>> LogsAsync(
        string id, AppendLogsRequest request, Device device, LogAppender appender, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        RequireGeneration(request.LeaseGeneration, "leaseGeneration", 1, errors);
        CheckChunks(request.Chunks, errors);
        if (errors.Any) return errors.ToProblem();

        var result = await appender.AppendAsync(device, id, request.LeaseGeneration!.Value, request.Chunks!, cancellationToken);
        return result.Kind switch
        {
            AppendKind.Stored => TypedResults.Ok(new AppendLogsResponse { StoredSeq = result.StoredSeq }),
            AppendKind.NotFound => Problem.NotFound("step", id),
            AppendKind.SessionEnded => SessionEnded(),
            AppendKind.Gap => Problem.Conflict(ErrorCode.LogConflict, $"Chunks before these are missing: {result.StoredSeq} is the last one stored.",
                "Send the chunks that follow it first.", result.StoredSeq.ToString()),
            AppendKind.LimitReached => Problem.Of(413, ErrorCode.LogLimitReached, $"The step's output is at its limit of {WireLimits.MaxStepLogBytes} bytes.",
                "Send no more output of it; complete it with truncated: true."),
            _ => Problem.Conflict(ErrorCode.LogConflict, "Another chunk is stored under one of these sequence numbers.",
                "Each sequence number names one chunk for ever; never reuse one.", result.StoredSeq.ToString()),
        };
    }

    private static async Task<Results<Ok<StepTransitionResponse>, Problem>> CompleteAsync(
        string id, CompleteRequest request, Device device, StepResolver resolver, ReceiptJudge receipts, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        CheckResult(id, request, errors);
        if (!errors.Any) await receipts.CheckAsync(device, id, request, errors, cancellationToken);
        if (errors.Any) return errors.ToProblem();
        return Answer(id, await resolver.CompleteAsync(device, id, request, cancellationToken));
    }

    private static async Task<Results<Ok<StepTransitionResponse>, Problem>> ReleaseAsync(
        string id, ReleaseRequest request, Device device, StepResolver resolver, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        RequireGeneration(request.LeaseGeneration, "leaseGeneration", 1, errors);
        var reason = request.Reason is null ? null : errors.Text(request.Reason, WireLimits.MaxIntentLength, "reason");
        if (errors.Any) return errors.ToProblem();
        return Answer(id, await resolver.ReleaseAsync(device, id, request.LeaseGeneration!.Value, reason, cancellationToken));
    }

    private static Results<Ok<StepTransitionResponse>, Problem> Answer(string id, StepMove move) => move.Kind switch
    {
        StepMoveKind.Applied => Moved(TransitionResult.Applied, move.State),
        StepMoveKind.AlreadyDone => Moved(TransitionResult.AlreadyDone, move.State),
        StepMoveKind.NotFound => Problem.NotFound("step", id),
        StepMoveKind.SessionEnded => SessionEnded(),
        StepMoveKind.ResultConflict => Problem.Conflict(ErrorCode.ResultConflict, "This generation was completed with another result.",
            "The first result stands; keep the journal for whoever looks into it.", move.State),
        _ => LeaseLost(move.State),
    };

    private static Ok<StepTransitionResponse> Moved(TransitionResult result, string state) =>
        TypedResults.Ok(new StepTransitionResponse { Result = result, State = WireNames.Parse<StepState>(state) });

    private static void CheckChunks(IReadOnlyList<LogChunk>? chunks, FieldErrors errors)
    {
        if (chunks is not { Count: > 0 and <= WireLimits.MaxLogChunksPerRequest })
        {
            errors.Add("chunks", $"must have 1 to {WireLimits.MaxLogChunksPerRequest} elements");
            return;
        }
        for (var i = 0; i < chunks.Count; i++)
        {
            if (chunks[i] is not { } chunk)
            {
                errors.Add($"chunks[{i}]", "must be a chunk");
                return;
            }
            errors.Require(chunk.Seq >= 1, $"chunks[{i}].seq", "must be 1 or more");
            if (i > 0) errors.Require(chunk.Seq == chunks[i - 1].Seq + 1, $"chunks[{i}].seq", "must follow the chunk before it");
            errors.Require(chunk.Data is { Length: > 0 and <= WireLimits.MaxLogChunkBytes }, $"chunks[{i}].data", $"must have 1 to {WireLimits.MaxLogChunkBytes} bytes");
            errors.Require(chunk.At.ToUnixTimeMilliseconds() > 0, $"chunks[{i}].at", "must be an instant after 1970");
        }
    }

    private static void CheckResult(string stepId, CompleteRequest result, FieldErrors errors)
    {
        RequireGeneration(result.LeaseGeneration, "leaseGeneration", 1, errors);
        errors.Require(result.Outcome is not null, "outcome", "is required: SUCCEEDED, FAILED or CANCELLED");
        errors.Require(result.Outcome != StepOutcome.Failed || result.Reason is not null, "reason", "is required for FAILED");
        errors.Require(result.Reason is not (StepReason.RolloutStopped or StepReason.QueueTimeout or StepReason.WorkstationRemoved or StepReason.WorkerLost
                or StepReason.NotApproved or StepReason.ForbiddenByDoctrine or StepReason.SecretsLost),
            "reason", "is one that only the server gives");
        errors.Require(result.Reason != StepReason.UnknownOutcome || result.Outcome == StepOutcome.Failed, "outcome", "must be FAILED when the outcome is unknown");
        errors.OptionalText(result.Detail, 2000, "detail");
        errors.OptionalText(result.Signal, 32, "signal");
        errors.Range(result.ExitCode, int.MinValue, int.MaxValue, "exitCode");
        errors.Range(result.DurationMs, 0, long.MaxValue, "durationMs");
        errors.Require(result.FinalLogSeq is >= 0, "finalLogSeq", "is required, 0 or more");
        errors.Require(result.OutputPreview is null || IsPreview(result.OutputPreview), "outputPreview",
            $"must be base64 of at most {WireLimits.MaxOutputPreviewBytes} bytes");
        errors.Require(result.Response is null || Encoding.UTF8.GetByteCount(result.Response) <= WireLimits.MaxResponseBytes, "response", $"has more than {WireLimits.MaxResponseBytes} bytes of UTF-8");
        errors.Require(result.Response?.Contains('\0') != true, "response", "must not contain a NUL character");
        CheckUsage(result.Usage, errors);
        if (!errors.Any)
            errors.Require(result.ResultDigest == ResultDigest.Compute(stepId, result), "resultDigest", "does not match the other fields");
    }

    private static void CheckUsage(TokenUsage? usage, FieldErrors errors)
    {
        if (usage is null) return;
        errors.Range(usage.InputTokens, 0, long.MaxValue, "usage.inputTokens");
        errors.Range(usage.OutputTokens, 0, long.MaxValue, "usage.outputTokens");
        errors.Range(usage.CachedReadTokens, 0, long.MaxValue, "usage.cachedReadTokens");
        errors.Range(usage.CachedWriteTokens, 0, long.MaxValue, "usage.cachedWriteTokens");
        errors.Range(usage.ThoughtTokens, 0, long.MaxValue, "usage.thoughtTokens");
        errors.Range(usage.TotalTokens, 0, long.MaxValue, "usage.totalTokens");
        errors.Range(usage.ContextUsed, 0, long.MaxValue, "usage.contextUsed");
        errors.Range(usage.ContextSize, 0, long.MaxValue, "usage.contextSize");
        errors.Require(usage.CostAmount is null or >= 0, "usage.costAmount", "must be 0 or more");
        errors.OptionalText(usage.CostCurrency, 16, "usage.costCurrency");
    }

    private static bool IsPreview(string base64)
    {
        var buffer = new byte[WireLimits.MaxOutputPreviewBytes];
        return Convert.TryFromBase64String(base64, buffer, out _);
    }

    private static void RequireGeneration(long? value, string field, long min, FieldErrors errors) =>
        errors.Require(value >= min, field, $"is required, {min} or more");

    internal static Problem SessionEnded() => Problem.Conflict(ErrorCode.SessionEnded, "This session has ended or was taken over.",
        "Kill what it runs and open a new session.");

    private static Problem LeaseLost(string state) => Problem.Conflict(ErrorCode.LeaseLost, "The lease is no longer held by this session under this generation.",
        "Kill the process tree; its output is still taken.", state);

    private static Problem NotClaimable(string detail, ClaimResult result) =>
        Problem.Conflict(ErrorCode.NotClaimable, detail, "Poll for work again.", result.CurrentState);
}
