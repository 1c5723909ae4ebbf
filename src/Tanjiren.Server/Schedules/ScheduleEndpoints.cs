using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Schedules;

/// <summary>People's routes for schedules.</summary>
internal static class ScheduleEndpoints
{
    private const int DefaultPreview = 10;

    public static IServiceCollection AddSchedules(this IServiceCollection services) =>
        services.AddSingleton<ScheduleService>().AddSingleton<ScheduleFiring>().AddLoop<ScheduleLoop>();

    public static void MapSchedules(this IEndpointRouteBuilder routes)
    {
        var schedules = routes.MapGroup("/api/schedules").WithTags("Schedules");
        schedules.MapPost("/", CreateAsync).WithName("createSchedule").WithSummary("Makes a schedule: a task at each tick of a cron expression.")
            .RequireRole(Role.Member).AnswersProblems(400, 404, 408, 409, 413, 415, 422).WithMetadata(IdempotencyKeyTaken.Instance);
        schedules.MapGet("/", ListAsync).WithName("listSchedules").WithSummary("The schedules, oldest first.").RequireRole(Role.Viewer).AnswersProblems(400, 422);
        schedules.MapGet("/{id}", GetAsync).WithName("getSchedule").RequireRole(Role.Viewer).AnswersProblems(404);
        schedules.MapPatch("/{id}", UpdateAsync).WithName("updateSchedule").WithSummary("Changes what is given; anything but the name makes you its owner.")
            .RequireRole(Role.Member).AnswersProblems(400, 404, 408, 409, 413, 415, 422);
        schedules.MapDelete("/{id}", DeleteAsync).WithName("deleteSchedule").WithSummary("Deletes it; its tasks stay.").RequireRole(Role.Member).AnswersProblems(404);
        schedules.MapPost("/{id}/pause", PauseAsync).WithName("pauseSchedule").WithSummary("No further ticks until it is resumed.")
            .RequireRole(Role.Member).AnswersProblems(400, 404, 408, 413, 415, 422);
        schedules.MapPost("/{id}/resume", ResumeAsync).WithName("resumeSchedule").WithSummary("Goes on with the next tick, as yours.").RequireRole(Role.Member).AnswersProblems(404, 422);
        schedules.MapPost("/{id}/run", RunAsync).WithName("runSchedule").WithSummary("Makes its task now, in your name.")
            .RequireRole(Role.Member).AnswersProblems(404, 409, 422).WithMetadata(IdempotencyKeyTaken.Instance);
        schedules.MapGet("/{id}/preview", PreviewAsync).WithName("previewSchedule").WithSummary("Its next ticks: 10, or as many as asked for.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 404, 422);
    }

    private static async Task<Results<Created<ScheduleBody>, Ok<ScheduleBody>, Problem>> CreateAsync(
        CreateScheduleRequest request, HttpContext context, Caller caller, ScheduleService service, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var key = Idempotency.Read(context, request, errors);
        if (errors.Any) return errors.ToProblem();
        var result = await service.CreateAsync(caller, request, key, cancellationToken);
        if (result.Problem is not null) return result.Problem;
        return result.Repeated ? TypedResults.Ok(result.Row!.ToBody()) : TypedResults.Created($"/api/schedules/{result.Row!.Id}", result.Row.ToBody());
    }

    private static async Task<Results<Ok<Page<ScheduleBody>>, Problem>> ListAsync(
        int? limit, string? cursor, Caller caller, ScheduleService service, CancellationToken cancellationToken)
    {
        if (Data.Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await service.ListAsync(caller.OrganizationId, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.Id));
    }

    private static async Task<Results<Ok<ScheduleBody>, Problem>> GetAsync(string id, Caller caller, ScheduleService service, CancellationToken cancellationToken) =>
        Answer(id, new ScheduleResult(await service.FindAsync(caller.OrganizationId, id, cancellationToken)));

    private static async Task<Results<Ok<ScheduleBody>, Problem>> UpdateAsync(
        string id, UpdateScheduleRequest request, Caller caller, ScheduleService service, CancellationToken cancellationToken) =>
        Answer(id, await service.UpdateAsync(caller, id, request, cancellationToken));

    private static async Task<Results<NoContent, Problem>> DeleteAsync(string id, Caller caller, ScheduleService service, CancellationToken cancellationToken) =>
        await service.DeleteAsync(caller, id, cancellationToken) ? TypedResults.NoContent() : Problem.NotFound("schedule", id);

    private static async Task<Results<Ok<ScheduleBody>, Problem>> PauseAsync(
        string id, PauseScheduleRequest? request, Caller caller, ScheduleService service, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var reason = request?.Reason is null ? null : errors.Text(request.Reason, WireLimits.MaxIntentLength, "reason");
        return errors.Any ? errors.ToProblem() : Answer(id, await service.PauseAsync(caller, id, reason, cancellationToken));
    }

    private static async Task<Results<Ok<ScheduleBody>, Problem>> ResumeAsync(string id, Caller caller, ScheduleService service, CancellationToken cancellationToken) =>
        Answer(id, await service.ResumeAsync(caller, id, cancellationToken));

    private static async Task<Results<Created<TaskBody>, Ok<TaskBody>, Problem>> RunAsync(
        string id, HttpContext context, Caller caller, ScheduleService service, TaskStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var key = Idempotency.Read(context, errors);
        if (errors.Any) return errors.ToProblem();
        var result = await service.RunAsync(caller, id, key, cancellationToken);
        if (result.Problem is not null) return result.Problem;
        var task = (await store.FindAsync(caller.OrganizationId, result.TaskId!, cancellationToken))!;
        return result.Repeated ? TypedResults.Ok(task) : TypedResults.Created($"/api/tasks/{task.Id}", task);
    }

    private static async Task<Results<Ok<SchedulePreviewBody>, Problem>> PreviewAsync(
        string id, int? count, Caller caller, ScheduleService service, TimeProvider clock, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.Range(count, 1, WireLimits.MaxPreviewTicks, "count");
        if (errors.Any) return errors.ToProblem();
        if (await service.FindAsync(caller.OrganizationId, id, cancellationToken) is not { } row) return Problem.NotFound("schedule", id);
        if (CronSchedule.Parse(row.Cron, row.TimeZone, errors) is not { } cron) return errors.ToProblem();
        var ticks = new List<ScheduledTick>();
        for (var next = cron.Next(clock.GetUtcNow()); next is { } at && ticks.Count < (count ?? DefaultPreview); next = cron.Next(at))
            ticks.Add(new ScheduledTick { At = at, Local = cron.ToLocal(at) });
        return TypedResults.Ok(new SchedulePreviewBody { TimeZone = row.TimeZone, Items = ticks });
    }

    private static Results<Ok<ScheduleBody>, Problem> Answer(string id, ScheduleResult result) =>
        result.Problem ?? (result.Row is null ? Problem.NotFound("schedule", id) : (Results<Ok<ScheduleBody>, Problem>)TypedResults.Ok(result.Row.ToBody()));
}
