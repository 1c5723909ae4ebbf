using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests;

/// <summary>The routes of one step: claim, logs, answers, complete, release.</summary>
internal sealed partial class FakeControlPlane
{
    private Task StepAsync(HttpContext context, string stepId, string route, byte[] body)
    {
        lock (gate)
        {
            if (!steps.TryGetValue(stepId, out var step)) return ProblemAsync(context, 404, ErrorCode.NotFound);
            return route switch
            {
                "claim" => ClaimAsync(context, step, JsonSerializer.Deserialize(body, WireJson.Default.ClaimRequest)!),
                "logs" => LogsAsync(context, step, JsonSerializer.Deserialize(body, WireJson.Default.AppendLogsRequest)!),
                "permissions" => AskPermissionAsync(context, step, JsonSerializer.Deserialize(body, WireJson.Default.AskPermissionRequest)!),
                "answers" => KeepAnswerAsync(context, step, JsonSerializer.Deserialize(body, WireJson.Default.StepAnswerRequest)!),
                "complete" => CompleteAsync(context, step, JsonSerializer.Deserialize(body, WireJson.Default.CompleteRequest)!),
                _ => ReleaseAsync(context, step, JsonSerializer.Deserialize(body, WireJson.Default.ReleaseRequest)!),
            };
        }
    }

    private Task ClaimAsync(HttpContext context, FakeStep step, ClaimRequest request)
    {
        Claims.Enqueue(request);
        if (!(step.Held && step.ClaimId == request.ClaimId))
        {
            if (!step.Queued || request.ExpectedGeneration != step.Generation) return ProblemAsync(context, 409, ErrorCode.NotClaimable);
            (step.Queued, step.Held, step.ClaimId) = (false, true, request.ClaimId);
            step.Generation++;
        }
        return AnswerAsync(context, 200, Rewrite(Signed(request.ClaimId!, new ClaimResponse
        {
            StepId = step.Id, TaskId = step.TaskId, ExecutionId = "exe_1", Intent = "test", LeaseGeneration = step.Generation, LeaseTtlMs = TtlMs,
            LeaseGraceMs = GraceMs, TimeoutMs = step.TimeoutMs, Command = step.Command, Mode = step.Mode, PromptText = step.PromptText, Questions = step.Questions, CodingAgent = step.CodingAgent,
            PermissionTimeoutMs = PermissionTimeoutMs,
            WorkingDirectory = step.WorkingDirectory, Environment = step.Environment, Secrets = step.Secrets, CancelRequested = step.CancelRequested,
            TraceParent = step.TraceParent, TraceState = step.TraceState, Resources = step.Resources,
        })), WireJson.Default.ClaimResponse);
    }

    private Task LogsAsync(HttpContext context, FakeStep step, AppendLogsRequest request)
    {
        lock (step.Chunks)
        {
            var last = step.Chunks.Count == 0 ? 0 : step.Chunks.Keys.Max();
            if (request.Chunks![0].Seq > last + 1) return ProblemAsync(context, 409, ErrorCode.LogConflict, last.ToString());
            foreach (var chunk in request.Chunks!)
            {
                if (step.Chunks.TryGetValue(chunk.Seq, out var before) && before.Signature() != chunk.Signature()) return ProblemAsync(context, 409, ErrorCode.LogConflict, last.ToString());
                step.Chunks[chunk.Seq] = chunk;
            }
            long stored = 0;
            while (step.Chunks.ContainsKey(stored + 1)) stored++;
            return AnswerAsync(context, 200, new AppendLogsResponse { StoredSeq = stored }, WireJson.Default.AppendLogsResponse);
        }
    }

    private Task KeepAnswerAsync(HttpContext context, FakeStep step, StepAnswerRequest request)
    {
        lock (step.Answers)
        {
            var known = step.Answers.FirstOrDefault(a => a.Question == request.Question && a.LeaseGeneration == request.LeaseGeneration);
            if (known is not null)
            {
                Written(request).ShouldBe(Written(known), "what is repeated is the same");
                return AnswerAsync(context, 200, new StepAnswerResponse { Result = TransitionResult.AlreadyDone, ArtifactId = "art_1" }, WireJson.Default.StepAnswerResponse);
            }
            if (step.Result?.LeaseGeneration == request.LeaseGeneration) return ProblemAsync(context, 409, ErrorCode.LeaseLost);
            step.Answers.Add(request);
            return AnswerAsync(context, 200, new StepAnswerResponse { Result = TransitionResult.Applied, ArtifactId = "art_1" }, WireJson.Default.StepAnswerResponse);
        }

        static string Written(StepAnswerRequest answer) => JsonSerializer.Serialize(answer, WireJson.Default.StepAnswerRequest);
    }

    private Task CompleteAsync(HttpContext context, FakeStep step, CompleteRequest request)
    {
        Completes.Enqueue(request);
        if (request.Receipt is not null && RefusesReceipts) return ProblemAsync(context, 422, ErrorCode.ValidationFailed);
        request.ResultDigest.ShouldBe(ResultDigest.Compute(step.Id, request));
        if (step.Result is { } before && before.LeaseGeneration == request.LeaseGeneration)
            return before.ResultDigest == request.ResultDigest ? TransitionAsync(context, TransitionResult.AlreadyDone) : ProblemAsync(context, 409, ErrorCode.ResultConflict);
        if (!step.Held || step.Generation != request.LeaseGeneration) return ProblemAsync(context, 409, ErrorCode.LeaseLost);
        (step.Result, step.Held) = (request, false);
        step.Generation++;
        return TransitionAsync(context, TransitionResult.Applied);
    }

    private Task ReleaseAsync(HttpContext context, FakeStep step, ReleaseRequest request)
    {
        if (!step.Held || step.Generation != request.LeaseGeneration) return ProblemAsync(context, 409, ErrorCode.LeaseLost);
        (step.Held, step.Queued) = (false, step.OfferedAgain);
        step.Generation++;
        step.Releases++;
        Changed();
        return TransitionAsync(context, TransitionResult.Applied);
    }

    private Task TransitionAsync(HttpContext context, TransitionResult result) =>
        AnswerAsync(context, 200, new StepTransitionResponse { Result = result, State = StepState.Running }, WireJson.Default.StepTransitionResponse);
}
