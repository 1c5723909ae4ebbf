using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity;

/// <summary>A person's own access tokens, in the organization that the credential of the request acts in.</summary>
internal static class TokenEndpoints
{
    private const int DefaultDays = 90;

    public static void MapTokens(RouteGroupBuilder auth)
    {
        auth.MapPost("/tokens", CreateAsync).WithName("createToken").WithSummary("Makes a personal access token; its secret is shown this once.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 408, 413, 415, 422);
        auth.MapGet("/tokens", ListAsync).WithName("listTokens").WithSummary("Your tokens that still work, oldest first.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 422);
        auth.MapDelete("/tokens/{id}", RevokeAsync).WithName("revokeToken").WithSummary("Revokes one of your tokens; the next request with it is refused.")
            .RequireRole(Role.Viewer).AnswersProblems(404);
    }

    private static async Task<Results<Created<CreatedToken>, Problem>> CreateAsync(
        CreateTokenRequest request, Caller caller, Database database, CredentialStore credentials, AuditLog audit, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var name = errors.Text(request.Name, WireLimits.MaxNameLength, "name");
        errors.Range(request.ExpiresInDays, 1, 365, "expiresInDays");
        if (errors.Any) return errors.ToProblem();

        var (token, secret) = await database.WriteAsync(async tx =>
        {
            var issued = await credentials.IssueAsync(
                tx, CredentialKind.Token, caller.UserId, caller.OrganizationId, name, TimeSpan.FromDays(request.ExpiresInDays ?? DefaultDays));
            await audit.AppendAsync(tx, caller, "token.created", issued.Token.Id, name);
            return issued;
        }, cancellationToken);
        return TypedResults.Created("/api/auth/tokens/" + token.Id, new CreatedToken { Token = token, Secret = secret.Value });
    }

    private static async Task<Results<Ok<Page<TokenBody>>, Problem>> ListAsync(
        int? limit, string? cursor, Caller caller, CredentialStore credentials, CancellationToken cancellationToken)
    {
        if (Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await credentials.ListTokensAsync(caller, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.Id));
    }

    private static async Task<Results<NoContent, Problem>> RevokeAsync(
        string id, Caller caller, Database database, CredentialStore credentials, AuditLog audit, WakeUps wakeUps, CancellationToken cancellationToken)
    {
        var revoked = await database.WriteAsync(async tx =>
        {
            if (!await credentials.RevokeAsync(tx, caller, CredentialKind.Token, id)) return false;
            await audit.AppendAsync(tx, caller, "token.revoked", id);
            tx.OnCommit(() => wakeUps.Notify(WakeUps.Access(caller.UserId)));
            return true;
        }, cancellationToken);
        return revoked ? TypedResults.NoContent() : Problem.NotFound("token", id);
    }
}
