using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Secrets;
using Tanjiren.Server.Tasks.Retries;

namespace Tanjiren.Server.Tasks;

/// <summary>People's routes for tasks.</summary>
internal static class TaskEndpoints
{
    public static void MapTaskEndpoints(this IEndpointRouteBuilder routes)
    {
        var tasks = routes.MapGroup("/api/tasks").WithTags("Tasks");
        tasks.MapPost("/", CreateAsync).RequireRole(Role.Member).AnswersProblems(400, 408, 409, 413, 415, 422).WithName("createTask").WithMetadata(IdempotencyKeyTaken.Instance);
        tasks.MapGet("/", ListAsync).RequireRole(Role.Viewer).AnswersProblems(400, 422).WithName("listTasks");
        tasks.MapPost("/resume", ResumeAsync).RequireRole(Role.Owner).AnswersProblems(409).WithName("resumeTasks").WithSummary("After a restore: lets the held tasks of the organization go on.");
        tasks.MapGet("/{id}", GetAsync).RequireRole(Role.Viewer).AnswersProblems(404).WithName("getTask");
        tasks.MapPatch("/{id}", UpdateAsync).RequireRole(Role.Member).AnswersProblems(400, 404, 409, 408, 413, 415, 422).WithName("updateTask")
            .WithSummary("Changes a task that nobody has claimed; its approval is asked for again.");
        tasks.MapPost("/{id}/cancel", CancelAsync).RequireRole(Role.Member).AnswersProblems(400, 404, 409, 408, 413, 415, 422).WithName("cancelTask");
        tasks.MapPost("/{id}/retry", RetryAsync).RequireRole(Role.Member).AnswersProblems(400, 404, 409, 408, 413, 415, 422).WithName("retryTask")
            .WithSummary("Makes the attempt after one that failed or was cancelled, now.").WithMetadata(IdempotencyKeyTaken.Instance);
        tasks.MapGet("/{id}/steps/{stepId}/logs", LogsAsync).RequireRole(Role.Viewer).AnswersProblems(400, 404, 422).WithName("getStepLogs");
        tasks.MapGet("/{id}/events", EventsAsync).RequireRole(Role.Viewer).AnswersProblems(404, 422).WithName("streamTaskEvents")
            .Produces<string>(200, "text/event-stream");
    }

    private static async Task<Results<Created<TaskBody>, Ok<TaskBody>, Problem>> CreateAsync(
        CreateTaskRequest request, HttpContext context, Caller caller, TaskService service, TaskStore store, SecretVault secrets, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var key = Idempotency.Read(context, secrets.Covered(request), errors);
        if (errors.Any) return errors.ToProblem();
        var result = await service.CreateAsync(caller, request, key, cancellationToken);
        if (result.Problem is not null) return result.Problem;
        var task = (await store.FindAsync(caller.OrganizationId, result.TaskId!, cancellationToken))!;
        return result.Repeated ? TypedResults.Ok(task) : TypedResults.Created($"/api/tasks/{task.Id}", task);
    }

    private static async Task<Results<Ok<Page<TaskBody>>, Problem>> ListAsync(
        string? status, string? mode, string? approval, string? worker, string? investigation, int? limit, string? cursor, Caller caller, TaskStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Require(status is null || WireNames.IsKnown<TaskState>(status), "status",
            "must be planned, queued, executing, completed, failed or cancelled");
        errors.Require(mode is null || WireNames.IsKnown<TaskMode>(mode), "mode", "must be command, prompt or investigate");
        errors.Require(approval is null || WireNames.IsKnown<ApprovalStatus>(approval), "approval", "must be not_required, pending, approved, consumed, rejected or expired");
        errors.Require(cursor is null || Ids.IsValid(cursor, Ids.Task), "cursor", "must be the nextCursor of an earlier page");
        errors.Range(limit, 1, WireLimits.MaxPageSize, "limit");
        var instanceId = worker is not null && worker.StartsWith(Ids.Worker, StringComparison.Ordinal) ? worker[Ids.Worker.Length..] : worker;
        errors.Require(instanceId is null || Ids.IsValid(instanceId, Ids.Instance), "worker", "must be the id of a worker or a workstation");
        errors.Require(investigation is null || Ids.IsValid(investigation, Ids.Investigation), "investigation", "must be the id of an investigation");
        if (errors.Any) return errors.ToProblem();
        return TypedResults.Ok(await store.ListAsync(caller.OrganizationId, status, mode, approval, instanceId, investigation,
            limit ?? WireLimits.DefaultPageSize, cursor, cancellationToken));
    }

    private static async Task<Results<Ok<TaskBody>, Problem>> GetAsync(string id, Caller caller, TaskStore store, CancellationToken cancellationToken) =>
        await store.FindAsync(caller.OrganizationId, id, cancellationToken) is { } task ? TypedResults.Ok(task) : Problem.NotFound("task", id);

    private static async Task<Results<Ok<TaskBody>, Problem>> UpdateAsync(
        string id, UpdateTaskRequest request, Caller caller, TaskEditor editor, TaskStore store, CancellationToken cancellationToken)
    {
        if (await editor.UpdateAsync(caller, id, request, cancellationToken) is { } problem) return problem;
        return TypedResults.Ok((await store.FindAsync(caller.OrganizationId, id, cancellationToken))!);
    }

    private static async Task<Results<Ok<TaskBody>, Problem>> CancelAsync(
        string id, CancelTaskRequest? request, Caller caller, TaskCanceller canceller, TaskStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var reason = request?.Reason is null ? null : errors.Text(request.Reason, WireLimits.MaxIntentLength, "reason");
        if (errors.Any) return errors.ToProblem();
        var result = await canceller.CancelAsync(caller, id, reason, cancellationToken);
        return result.Kind switch
        {
            CancelResultKind.NotFound => Problem.NotFound("task", id),
            CancelResultKind.AlreadyEnded => Problem.Conflict(ErrorCode.StateConflict, $"The task has {WireNames.Of(result.State)} already.",
                "Nothing is left to cancel.", WireNames.Of(result.State)),
            _ => TypedResults.Ok((await store.FindAsync(caller.OrganizationId, id, cancellationToken))!),
        };
    }

    private static async Task<Results<Created<TaskBody>, Ok<TaskBody>, Problem>> RetryAsync(
        string id, RetryTaskRequest? request, HttpContext context, Caller caller, RetryService service, TaskStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var key = Idempotency.Read(context, request, errors);
        var reason = request?.Reason is null ? null : errors.Text(request.Reason, WireLimits.MaxIntentLength, "reason");
        if (errors.Any) return errors.ToProblem();
        var result = await service.RetryAsync(caller, id, reason, key, cancellationToken);
        if (result.Problem is not null) return result.Problem;
        var task = (await store.FindAsync(caller.OrganizationId, result.TaskId!, cancellationToken))!;
        return result.Repeated ? TypedResults.Ok(task) : TypedResults.Created($"/api/tasks/{task.Id}", task);
    }

    private static async Task<Results<Ok<ResumedTasks>, Problem>> ResumeAsync(Caller caller, HeldTasks held, TimeProvider clock, CancellationToken cancellationToken)
    {
        var result = await held.ResumeAsync(caller, cancellationToken);
        if (result.NotBefore is not { } notBefore) return TypedResults.Ok(new ResumedTasks { Resumed = result.Tasks });
        var seconds = Math.Max(1, (int)Math.Ceiling((notBefore - clock.GetUtcNow()).TotalSeconds));
        return new Problem(Problem.Conflict(ErrorCode.StateConflict, $"An agent that is cut off may still run one of the held tasks until {notBefore:u}.",
            $"Resume in {seconds} s. Cancel meanwhile what has run since the backup.", "held_after_restore").Value)
        { RetryAfterSeconds = seconds };
    }

    private static async Task<Results<Ok<Page<LogChunkBody>>, Problem>> LogsAsync(
        string id, string stepId, int? limit, string? cursor, Caller caller, TaskStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var after = ParseLogCursor(cursor);
        errors.Require(after is not null, "cursor", "must be the nextCursor of an earlier page");
        errors.Range(limit, 1, WireLimits.MaxPageSize, "limit");
        if (errors.Any) return errors.ToProblem();
        var page = await store.LogsAsync(caller.OrganizationId, id, stepId, after!.Value, limit ?? WireLimits.DefaultPageSize, cancellationToken);
        return page is null ? Problem.NotFound("step", stepId) : TypedResults.Ok(page);
    }

    private static async Task<Results<EmptyHttpResult, Problem>> EventsAsync(
        string id, [FromHeader(Name = "Last-Event-ID")] string? lastEventId, Caller caller, TaskStore store, TaskEventStream stream, CallerCheck check,
        HttpContext context)
    {
        long after = 0;
        if (lastEventId is not null && (!long.TryParse(lastEventId, out after) || after < 0))
        {
            var errors = new FieldErrors();
            errors.Add("Last-Event-ID", "must be the id of an earlier event of this stream");
            return errors.ToProblem();
        }
        var task = await store.FindAsync(caller.OrganizationId, id, context.RequestAborted);
        if (task is null) return Problem.NotFound("task", id);
        try
        {
            await stream.WriteAsync(context, caller, task, after, () => check.IsStillAllowedAsync(caller, context));
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The reader left; it resumes with Last-Event-ID when it likes.
        }
        return TypedResults.Empty;
    }

    /// <summary>From the start when absent; null when it is not a cursor.</summary>
    private static (long Generation, long Seq)? ParseLogCursor(string? cursor)
    {
        if (cursor is null) return (0, 0);
        var parts = cursor.Split('.');
        return parts.Length == 2 && long.TryParse(parts[0], out var generation) && long.TryParse(parts[1], out var seq) ? (generation, seq) : null;
    }
}
