using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks.Answers;

/// <summary>The workstation's route for the answers to a step's questions.</summary>
internal static class AnswerEndpoints
{
    public static void MapAnswerEndpoints(this IEndpointRouteBuilder routes) =>
        routes.MapPost("/api/steps/{id}/answers", KeepAsync).WithTags("Steps").RequireDevice(whenSignedOut: WhenSignedOut.OwesOutput)
            .AnswersProblems(404, 409, 415, 422).WithName("answerStepQuestion");

    private static async Task<Results<Ok<StepAnswerResponse>, Problem>> KeepAsync(
        string id, StepAnswerRequest request, Device device, AnswerStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        Check(request, errors);
        if (errors.Any) return errors.ToProblem();

        var kept = await store.KeepAsync(device, id, request, cancellationToken);
        return kept.Kind switch
        {
            KeptKind.Applied => TypedResults.Ok(new StepAnswerResponse { Result = TransitionResult.Applied, ArtifactId = kept.ArtifactId! }),
            KeptKind.AlreadyDone => TypedResults.Ok(new StepAnswerResponse { Result = TransitionResult.AlreadyDone, ArtifactId = kept.ArtifactId! }),
            KeptKind.NotFound => Problem.NotFound("step", id),
            KeptKind.SessionEnded => StepEndpoints.SessionEnded(),
            KeptKind.Invalid => kept.Errors!.ToProblem(),
            KeptKind.Conflict => Problem.Conflict(ErrorCode.ResultConflict, "Something else was kept for this question under this generation.",
                "What came first stands; keep the journal for whoever looks into it.", kept.State),
            _ => Problem.Conflict(ErrorCode.LeaseLost, "The result of this generation came before this answer.", "Send the answers of a step before its result.", kept.State),
        };
    }

    private static void Check(StepAnswerRequest request, FieldErrors errors)
    {
        errors.Require(request.LeaseGeneration >= 1, "leaseGeneration", "is required, 1 or more");
        errors.Require(AnswerForms.IsName(request.Question), "question", "is required: the name of a question of the task");
        errors.Require(request.Asked is 1 or 2, "asked", "is required, 1 or 2");
        if (request.Answer is null) errors.Require(!string.IsNullOrWhiteSpace(request.Problem), "problem", "is required without an answer: why there is none");
        else errors.Require(request.Problem is null && request.Said is null, "problem", "and said are for a question without an answer");
        errors.OptionalText(request.Problem, 2000, "problem");
        errors.OptionalText(request.Said, WireLimits.MaxSaidLength, "said");
        if (AnswerForms.EvidenceFault(request.Evidence) is { } fault) errors.Add("evidence", fault);
    }
}
