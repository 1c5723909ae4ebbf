using System.Buffers;
using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Audit;

/// <summary>The audit log, for admins.</summary>
internal static class AuditEndpoints
{
    private const string JsonLines = "application/jsonl";
    private const int MaxFilterLength = 200;
    private const int LinesPerFlush = 100;

    public static IServiceCollection AddAudit(this IServiceCollection services) => services
        .AddFeatureOptions<AuditOptions>("Audit")
        .AddSingleton<AuditLog>()
        .AddSingleton<AuditSeal>()
        .AddSingleton<AuditSealer>()
        .AddSingleton<AuditStore>()
        .AddSingleton<AuditPurge>()
        .AddSingleton<AuditHeadFile>()
        .AddLoop<AuditSealerLoop>();

    public static void MapAudit(this IEndpointRouteBuilder routes)
    {
        var audit = routes.MapGroup("/api/audit-events").WithTags("Audit");
        audit.MapGet("/", ListAsync).WithName("listAuditEvents").WithSummary("Who did what, when, from where; newest first.").RequireRole(Role.Admin).AnswersProblems(400, 422);
        audit.MapGet("/export", ExportAsync).WithName("exportAuditEvents").WithSummary("The whole chain as JSON Lines: a checkpoint, every row, the signed head.")
            .RequireRole(Role.Admin).Produces<string>(200, JsonLines);
        audit.MapGet("/head", HeadAsync).WithName("getAuditHead").WithSummary("How far the chain reaches, signed.").RequireRole(Role.Admin);
    }

    private static async Task<Results<Ok<Page<AuditEventBody>>, Problem>> ListAsync(
        string? actor, string? action, string? subject, DateTimeOffset? from, DateTimeOffset? to, int? limit, string? cursor, Caller caller, AuditStore store,
        CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        errors.OptionalText(actor, MaxFilterLength, "actor");
        errors.OptionalText(action, MaxFilterLength, "action");
        errors.OptionalText(subject, MaxFilterLength, "subject");
        errors.Require(from is null || to is null || from < to, "to", "must be after from");
        errors.Require(cursor is null || Ids.IsValid(cursor, Ids.AuditEvent), "cursor", "must be the nextCursor of an earlier page");
        errors.Range(limit, 1, WireLimits.MaxPageSize, "limit");
        if (errors.Any) return errors.ToProblem();
        return TypedResults.Ok(await store.ListAsync(caller.OrganizationId, new AuditFilter(actor, action, subject, from, to), limit ?? WireLimits.DefaultPageSize, cursor, cancellationToken));
    }

    private static async Task<EmptyHttpResult> ExportAsync(Caller caller, AuditStore store, HttpContext context)
    {
        var response = context.Response;
        response.ContentType = JsonLines;
        response.Headers.CacheControl = "no-store";
        // What fails on the way cuts the connection: an export without its head is known to be incomplete.
        var written = 0;
        await foreach (var line in store.ExportAsync(caller.OrganizationId, context.RequestAborted))
        {
            response.BodyWriter.Write(line);
            response.BodyWriter.Write("\n"u8);
            if (++written % LinesPerFlush == 0) await response.BodyWriter.FlushAsync(context.RequestAborted);
        }
        return TypedResults.Empty;
    }

    private static async Task<Ok<AuditHead>> HeadAsync(Caller caller, AuditStore store, CancellationToken cancellationToken) =>
        TypedResults.Ok(await store.HeadAsync(caller.OrganizationId, cancellationToken));
}
