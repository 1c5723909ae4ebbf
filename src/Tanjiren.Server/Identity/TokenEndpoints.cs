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
        // It would outlive the sign-in by up to a year, and nobody who signs a lost laptop out would think of it. What a sign-in leaves behind otherwise is listed: machines
        // that it had paired by code, invitations that it made (docs/concepts/sign-in.md).
        if (caller.GrantId is not null)
            return Problem.Of(403, ErrorCode.Forbidden, "A client that was let in by OAuth makes no personal access token: the token would outlive its sign-in.",
                "Make it in a browser session, or with the e-mail and password: tanvrit-compute auth login --email.");
        var errors = new FieldErrors();
        var name = errors.Text(request.Name, WireLimits.MaxNameLength, "name");
        errors.Range(request.ExpiresInDays, 1, 365, "expiresInDays");
        if (errors.Any) return errors.ToProblem();

        var issued = await database.WriteAsync(async tx =>
        {
            var made = await credentials.IssueToMemberAsync(
                tx, CredentialKind.Token, caller.UserId, caller.OrganizationId, name, TimeSpan.FromDays(request.ExpiresInDays ?? DefaultDays));
            if (made is { Token.Id: var id }) await audit.AppendAsync(tx, caller, "token.created", id, name);
            return made;
        }, cancellationToken);
        return issued is { } created
            ? TypedResults.Created("/api/auth/tokens/" + created.Token.Id, new CreatedToken { Token = created.Token, Secret = created.Secret.Value })
            : SignIn.NoLongerMember();
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
