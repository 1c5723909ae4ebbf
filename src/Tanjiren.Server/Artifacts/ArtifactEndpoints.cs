using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Artifacts;

/// <summary>Artifacts of tasks and of investigations: the same three routes under each, and the artifact itself.</summary>
internal static class ArtifactEndpoints
{
    public static void MapArtifacts(this IEndpointRouteBuilder routes)
    {
        MapPlace(routes, "/api/tasks/{id}/artifacts", "Task", id => new ArtifactPlace(id, null));
        MapPlace(routes, "/api/investigations/{id}/artifacts", "Investigation", id => new ArtifactPlace(null, id));
        var artifacts = routes.MapGroup("/api/artifacts").WithTags("Artifacts");
        artifacts.MapGet("/{id}", ShowAsync).WithName("getArtifact").WithSummary("One artifact, with the text of a note or summary.").RequireRole(Role.Viewer).AnswersProblems(404);
        artifacts.MapGet("/{id}/content", ContentAsync).WithName("getArtifactContent").WithSummary("Its bytes, as a download whatever they are; a link has none.")
            .RequireRole(Role.Viewer).AnswersProblems(404).Produces<Stream>(200, ContentType);
        artifacts.MapDelete("/{id}", DeleteAsync).WithName("deleteArtifact").WithSummary("Deletes an artifact; an admin, or who made it.").RequireRole(Role.Member).AnswersProblems(404);
    }

    /// <summary>Always this one: a stored page shall not run, and a browser shall not guess.</summary>
    private const string ContentType = "application/octet-stream";

    private static void MapPlace(IEndpointRouteBuilder routes, string pattern, string name, Func<string, ArtifactPlace> place)
    {
        var artifacts = routes.MapGroup(pattern).WithTags("Artifacts");
        artifacts.MapPost("", (string id, CreateArtifactRequest request, HttpContext context, Caller caller, ArtifactStore store, CancellationToken cancellationToken) =>
                AddAsync(place(id), request, context, caller, store, cancellationToken))
            .WithName($"add{name}Artifact").WithSummary("Attaches a note, a link, or a text as evidence. Takes Idempotency-Key.")
            .WithMetadata(IdempotencyKeyTaken.Instance).RequireRole(Role.Member).AnswersProblems(400, 404, 408, 413, 415, 422);
        artifacts.MapPost("/files", (string id, string? title, string? fileName, string? sha256, Stream body, HttpContext context, Caller caller, ArtifactStore store, CancellationToken cancellationToken) =>
                UploadAsync(place(id), title, fileName, sha256, body, context, caller, store, cancellationToken))
            .WithName($"upload{name}Artifact").WithSummary("Attaches the body, up to 10 MiB of any bytes, as evidence; with ?sha256= only if it is that. Takes Idempotency-Key.")
            .WithMetadata(IdempotencyKeyTaken.Instance, new RequestSizeLimitAttribute(WireLimits.MaxArtifactBytes)).RequireRole(Role.Member).AnswersProblems(400, 404, 408, 413, 422);
        artifacts.MapGet("", (string id, int? limit, string? cursor, Caller caller, ArtifactStore store, CancellationToken cancellationToken) =>
                ListAsync(place(id), limit, cursor, caller, store, cancellationToken))
            .WithName($"list{name}Artifacts").WithSummary("Its artifacts, oldest first.").RequireRole(Role.Viewer).AnswersProblems(400, 404, 422);
    }

    private static async Task<Results<Created<ArtifactBody>, Ok<ArtifactBody>, Problem>> AddAsync(
        ArtifactPlace place, CreateArtifactRequest request, HttpContext context, Caller caller, ArtifactStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var draft = ArtifactRules.Read(request, errors);
        var key = Idempotency.Read(context, request, errors);
        if (errors.Any) return errors.ToProblem();
        return await AddAsync(place, draft, key, caller, store, cancellationToken);
    }

    private static async Task<Results<Created<ArtifactBody>, Ok<ArtifactBody>, Problem>> UploadAsync(
        ArtifactPlace place, string? title, string? fileName, string? sha256, Stream body, HttpContext context, Caller caller, ArtifactStore store, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var draft = ArtifactRules.Read(await ReadAllAsync(body, context.Request.ContentLength, cancellationToken), title, fileName, context.Request.ContentType, sha256, errors);
        // What the request is, for its key: the bytes by their digest.
        var key = Idempotency.Read(context, new CreateArtifactRequest { Title = draft.Title, FileName = draft.FileName, MediaType = draft.MediaType, Sha256 = draft.Sha256 }, errors);
        if (errors.Any) return errors.ToProblem();
        return await AddAsync(place, draft, key, caller, store, cancellationToken);
    }

    private static async Task<Results<Created<ArtifactBody>, Ok<ArtifactBody>, Problem>> AddAsync(
        ArtifactPlace place, ArtifactDraft draft, IdempotencyKey? key, Caller caller, ArtifactStore store, CancellationToken cancellationToken)
    {
        var added = await store.AddAsync(caller, place, draft, key, cancellationToken);
        if (added.Problem is not null) return added.Problem;
        var artifact = added.Row!.ToBody();
        return added.Repeated ? TypedResults.Ok(artifact) : TypedResults.Created("/api/artifacts/" + artifact.Id, artifact);
    }

    private static async Task<Results<Ok<Page<ArtifactBody>>, Problem>> ListAsync(
        ArtifactPlace place, int? limit, string? cursor, Caller caller, ArtifactStore store, CancellationToken cancellationToken)
    {
        if (Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await store.ListAsync(caller.OrganizationId, place, page.After, page.Fetch, cancellationToken);
        return rows is null ? place.Missing() : TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.Id));
    }

    private static async Task<Results<Ok<ArtifactBody>, Problem>> ShowAsync(string id, Caller caller, ArtifactStore store, CancellationToken cancellationToken) =>
        await store.ReadAsync(caller.OrganizationId, id, cancellationToken) is { } row ? TypedResults.Ok(row.ToBody()) : ArtifactStore.Missing(id);

    private static async Task<Results<FileContentHttpResult, Problem>> ContentAsync(string id, HttpContext context, Caller caller, ArtifactStore store, CancellationToken cancellationToken)
    {
        var row = await store.ReadAsync(caller.OrganizationId, id, cancellationToken);
        if (row is null) return ArtifactStore.Missing(id);
        if (row.Content is not { } content) return Problem.Of(404, ErrorCode.NotFound, "A link has no content of its own.", $"Its address is {row.Url}.");
        // It was written by others and comes from our own origin: nothing in it may run, be framed, or be taken for something else than bytes.
        var headers = context.Response.Headers;
        headers.XContentTypeOptions = "nosniff";
        headers.ContentSecurityPolicy = "sandbox; default-src 'none'; frame-ancestors 'none'";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        headers["Repr-Digest"] = $"sha-256=:{Convert.ToBase64String(Convert.FromHexString(row.Sha256!))}:"; // RFC 9530
        headers.CacheControl = "private, no-store";
        return TypedResults.File(content, ContentType, row.DownloadName);
    }

    private static async Task<Results<NoContent, Problem>> DeleteAsync(string id, Caller caller, ArtifactStore store, CancellationToken cancellationToken) =>
        await store.DeleteAsync(caller, id, cancellationToken) is { } problem ? problem : TypedResults.NoContent();

    /// <summary>The listener ends it with 413 past the route's limit.</summary>
    private static async Task<byte[]> ReadAllAsync(Stream body, long? length, CancellationToken cancellationToken)
    {
        using var all = new MemoryStream((int)Math.Min(length ?? 0, WireLimits.MaxArtifactBytes));
        await body.CopyToAsync(all, cancellationToken);
        return all.ToArray();
    }
}
