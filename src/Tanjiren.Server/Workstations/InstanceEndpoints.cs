using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Workstations;

/// <summary>Workstations, as people manage them. Each is named by id or by name.</summary>
internal static class InstanceEndpoints
{
    private const int MaxMachineIdLength = 128;

    public static IServiceCollection AddWorkstations(this IServiceCollection services) => services
        .AddFeatureOptions<WorkstationOptions>("Workstations")
        .AddSingleton<InstanceDirectory>()
        .AddSingleton<FleetView>().AddSingleton<MissedWakes>()
        .AddSingleton<InstanceService>();

    public static void MapWorkstations(this IEndpointRouteBuilder routes)
    {
        var instances = routes.MapGroup("/api/instances").WithTags("Workstations");
        instances.MapPost("", CreateAsync).WithName("createInstance").WithMetadata(IdempotencyKeyTaken.Instance)
            .WithSummary("Registers a workstation; 200 with the one that is there when the same machine was registered before. Takes Idempotency-Key.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        instances.MapGet("", ListAsync).WithName("listInstances").WithSummary("Workstations, oldest first; ?tag= for those that have it.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 422);
        instances.MapGet("/{id}", ShowAsync).WithName("getInstance").WithSummary("One workstation.").RequireRole(Role.Viewer).AnswersProblems(404);
        instances.MapPatch("/{id}", UpdateAsync).WithName("updateInstance").WithSummary("Renames or tags a workstation; absent fields stay.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        instances.MapDelete("/{id}", RemoveAsync).WithName("removeInstance").WithSummary("Removes a workstation: its key is revoked at once.")
            .RequireRole(Role.Admin).AnswersProblems(404);
        instances.MapPost("/{id}/registration", RegisterAgainAsync).WithName("registerInstanceAgain")
            .WithSummary("Puts a workstation that registered its machine under this request's credential; one paired by code stays as it is.")
            .RequireRole(Role.Admin).AnswersProblems(404);
        instances.MapPost("/{id}/drain", (string id, Caller caller, InstanceService service, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken) =>
                DrainAsync(id, true, caller, service, options, clock, cancellationToken))
            .WithName("drainInstance").WithSummary("It finishes what runs and takes nothing new.").RequireRole(Role.Admin).AnswersProblems(404);
        instances.MapPost("/{id}/undrain", (string id, Caller caller, InstanceService service, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken) =>
                DrainAsync(id, false, caller, service, options, clock, cancellationToken))
            .WithName("undrainInstance").WithSummary("It takes work again.").RequireRole(Role.Admin).AnswersProblems(404);
        WorkerEndpoints.MapWorkers(routes);
    }

    private static async Task<Results<Created<InstanceBody>, Ok<InstanceBody>, Problem>> CreateAsync(
        CreateInstanceRequest request, HttpContext context, Caller caller, InstanceService service, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var name = errors.Name(request.Name, Ids.Instance);
        TagRules.Check(errors, request.Tags, "tags");
        var machineId = request.MachineId is null ? null : errors.Text(request.MachineId, MaxMachineIdLength, "machineId");
        var key = Idempotency.Read(context, request, errors);
        if (errors.Any) return errors.ToProblem();

        var (change, row, why) = await service.CreateAsync(caller, name, request.Tags ?? [], machineId, key, cancellationToken);
        return change switch
        {
            InstanceChange.Applied => TypedResults.Created("/api/instances/" + row!.Id, row.ToBody(clock.GetUtcNow(), options)),
            InstanceChange.AlreadyDone when row is not null => TypedResults.Ok(row.ToBody(clock.GetUtcNow(), options)),
            InstanceChange.AlreadyDone => Problem.Of(404, ErrorCode.NotFound, "The workstation that this Idempotency-Key made has been removed since.", "Use a new key to make another one."),
            InstanceChange.KeyReused => Idempotency.Reused(),
            InstanceChange.TagGuarded => TagGuarded(why!),
            _ => NameTaken(name),
        };
    }

    private static async Task<Results<Ok<Page<InstanceBody>>, Problem>> ListAsync(
        int? limit, string? cursor, string? tag, Caller caller, Database database, InstanceDirectory directory, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken)
    {
        if (CheckPage(limit, cursor, tag, out var page) is { } problem) return problem;
        var rows = await database.ReadAsync(session => directory.PageAsync(session, caller.OrganizationId, tag, page.After, page.Fetch), cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(clock.GetUtcNow(), options), row => row.Id));
    }

    private static async Task<Results<Ok<InstanceBody>, Problem>> ShowAsync(
        string id, Caller caller, Database database, InstanceDirectory directory, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken)
    {
        var row = await database.ReadAsync(session => directory.FindAsync(session, caller.OrganizationId, id), cancellationToken);
        return row is null ? Missing(id) : TypedResults.Ok(row.ToBody(clock.GetUtcNow(), options));
    }

    private static async Task<Results<Ok<InstanceBody>, Problem>> UpdateAsync(
        string id, UpdateInstanceRequest request, Caller caller, InstanceService service, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        if (request.Name is not null) errors.Name(request.Name, Ids.Instance);
        if (request.WorkerName is { Length: > 0 }) errors.Text(request.WorkerName, WireLimits.MaxNameLength, "workerName");
        TagRules.Check(errors, request.Tags, "tags");
        TagRules.Check(errors, request.AddTags, "addTags");
        TagRules.Check(errors, request.RemoveTags, "removeTags");
        if (errors.Any) return errors.ToProblem();

        var (change, row, why) = await service.UpdateAsync(caller, id, request, cancellationToken);
        if (change == InstanceChange.TooManyTags)
        {
            errors.Add("addTags", $"would give it more than {WireLimits.MaxTags} tags");
            return errors.ToProblem();
        }
        return change switch
        {
            InstanceChange.NotFound => Missing(id),
            InstanceChange.NameTaken => NameTaken(request.Name!.Trim()),
            InstanceChange.TagGuarded => TagGuarded(why!),
            _ => TypedResults.Ok(row!.ToBody(clock.GetUtcNow(), options)),
        };
    }

    private static async Task<Results<NoContent, Problem>> RemoveAsync(string id, Caller caller, InstanceService service, CancellationToken cancellationToken) =>
        await service.RemoveAsync(caller, id, cancellationToken) == InstanceChange.NotFound ? Missing(id) : TypedResults.NoContent();

    private static async Task<Results<Ok<InstanceBody>, Problem>> RegisterAgainAsync(
        string id, Caller caller, InstanceService service, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken)
    {
        var (_, row) = await service.RegisterAgainAsync(caller, id, cancellationToken);
        return row is null ? Missing(id) : TypedResults.Ok(row.ToBody(clock.GetUtcNow(), options));
    }

    private static async Task<Results<Ok<InstanceBody>, Problem>> DrainAsync(
        string id, bool draining, Caller caller, InstanceService service, WorkstationOptions options, TimeProvider clock, CancellationToken cancellationToken)
    {
        var (_, row) = await service.SetDrainingAsync(caller, id, draining, cancellationToken);
        return row is null ? Missing(id) : TypedResults.Ok(row.ToBody(clock.GetUtcNow(), options));
    }

    internal static Problem Missing(string id) => Problem.NotFound("workstation", id);

    internal static Problem? CheckPage(int? limit, string? cursor, string? tag, out Paging page)
    {
        if (Paging.Read(limit, cursor, out page) is { } problem) return problem;
        if (tag is null || TagRules.IsValid(tag)) return null;
        var errors = new FieldErrors();
        errors.Add("tag", "is not a tag: lower case letters, digits and . _ - : /");
        return errors.ToProblem();
    }

    private static Problem TagGuarded(string why) => Problem.Of(403, ErrorCode.Forbidden, why, "Ask an admin or the owner of the organization, or leave the tag out.");

    private static Problem NameTaken(string name) =>
        Problem.Conflict(ErrorCode.NameTaken, $"There is a workstation '{name}' in this organization already.", "Choose another name, or remove or rename that one.");
}
