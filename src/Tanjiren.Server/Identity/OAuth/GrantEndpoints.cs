using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>Where a person is signed in, so that a lost machine can be signed out from elsewhere.</summary>
internal static class GrantEndpoints
{
    public static void MapGrants(IEndpointRouteBuilder routes)
    {
        var grants = routes.MapGroup("/api/auth/grants").WithTags("Identity");
        grants.MapGet("", ListAsync).WithName("listGrants").WithSummary("Your sign-ins of clients in this organization, oldest first.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 422);
        grants.MapDelete("/{id}", RevokeAsync).WithName("revokeGrant").WithSummary("Ends one of your sign-ins: its tokens, and the workstations registered with it.")
            .RequireRole(Role.Viewer).AnswersProblems(404);
    }

    private static async Task<Results<Ok<Page<GrantBody>>, Problem>> ListAsync(
        int? limit, string? cursor, Caller caller, Database database, GrantStore grants, InstanceDirectory instances, CancellationToken cancellationToken)
    {
        if (Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var (rows, names) = await database.ReadAsync(async session =>
            (await grants.ListAsync(session, caller, page.After, page.Fetch), await instances.NamesByGrantAsync(session, caller.OrganizationId)), cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody([.. names[row.Id]], caller.GrantId), row => row.Id));
    }

    private static async Task<Results<NoContent, Problem>> RevokeAsync(string id, Caller caller, Database database, GrantStore grants, CancellationToken cancellationToken)
    {
        var revoked = await database.WriteAsync(async tx =>
            Ids.IsValid(id, Ids.Grant) && await grants.FindOwnAsync(tx, caller, id) is not null
            && await grants.RevokeAsync(tx, id, RevokeReason.SignedOut, caller.UserId, caller.Address), cancellationToken);
        return revoked ? TypedResults.NoContent() : Problem.NotFound("sign-in", id);
    }
}
