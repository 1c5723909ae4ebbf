using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Records;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Prompts;

/// <summary>Saved prompts. Each is named by id or by name.</summary>
internal static class PromptEndpoints
{
    public static void MapPrompts(this IEndpointRouteBuilder routes)
    {
        var prompts = routes.MapGroup("/api/prompts").WithTags("Prompts");
        prompts.MapPost("", CreateAsync).WithName("createPrompt").WithMetadata(IdempotencyKeyTaken.Instance).WithSummary("Saves a prompt. Takes Idempotency-Key.")
            .RequireRole(Role.Member).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        prompts.MapGet("", ListAsync).WithName("listPrompts").WithSummary("Prompts, oldest first; ?tag= for those that have it.").RequireRole(Role.Viewer).AnswersProblems(400, 422);
        prompts.MapGet("/{id}", ShowAsync).WithName("getPrompt").WithSummary("One prompt.").RequireRole(Role.Viewer).AnswersProblems(404);
        prompts.MapPatch("/{id}", UpdateAsync).WithName("updatePrompt").WithSummary("Changes a prompt; absent fields stay.")
            .RequireRole(Role.Member).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        prompts.MapDelete("/{id}", DeleteAsync).WithName("deletePrompt").WithSummary("Deletes a prompt; an admin, or who made it.").RequireRole(Role.Member).AnswersProblems(404);
    }

    private static async Task<Results<Created<PromptBody>, Ok<PromptBody>, Problem>> CreateAsync(
        CreatePromptRequest request, HttpContext context, Caller caller, PromptService service, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var name = errors.Name(request.Name, Ids.Prompt);
        CheckText(errors, request.Text ?? "");
        TagRules.Check(errors, request.Tags, "tags");
        var key = Idempotency.Read(context, request, errors);
        if (errors.Any) return errors.ToProblem();
        var made = await service.CreateAsync(caller, name, request, key, cancellationToken);
        if (made.Problem is not null) return made.Problem;
        var body = made.Row!.ToBody();
        return made.Repeated ? TypedResults.Ok(body) : TypedResults.Created("/api/prompts/" + body.Id, body);
    }

    private static async Task<Results<Ok<Page<PromptBody>>, Problem>> ListAsync(
        string? tag, int? limit, string? cursor, Caller caller, PromptService service, CancellationToken cancellationToken)
    {
        if (InstanceEndpoints.CheckPage(limit, cursor, tag, out var page) is { } problem) return problem;
        var rows = await service.ListAsync(caller, tag, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.Id));
    }

    private static async Task<Results<Ok<PromptBody>, Problem>> ShowAsync(string id, Caller caller, PromptService service, CancellationToken cancellationToken) =>
        await service.FindAsync(caller, id, cancellationToken) is { } row ? TypedResults.Ok(row.ToBody()) : PromptService.Missing(id);

    private static async Task<Results<Ok<PromptBody>, Problem>> UpdateAsync(
        string id, UpdatePromptRequest request, Caller caller, PromptService service, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        RecordRules.CheckVersion(errors, request.Version);
        if (request.Name is not null) errors.Name(request.Name, Ids.Prompt);
        if (request.Text is not null) CheckText(errors, request.Text);
        TagRules.Check(errors, request.Tags, "tags");
        if (errors.Any) return errors.ToProblem();
        var changed = await service.UpdateAsync(caller, id, request, cancellationToken);
        return changed.Problem is null ? TypedResults.Ok(changed.Row!.ToBody()) : changed.Problem;
    }

    private static async Task<Results<NoContent, Problem>> DeleteAsync(string id, Caller caller, PromptService service, CancellationToken cancellationToken) =>
        await service.DeleteAsync(caller, id, cancellationToken) is { } problem ? problem : TypedResults.NoContent();

    private static void CheckText(FieldErrors errors, string text)
    {
        errors.Require(!string.IsNullOrWhiteSpace(text), "text", "is required");
        RecordRules.CheckProse(errors, text, "text");
    }
}
