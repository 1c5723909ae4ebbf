using System.Reflection;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity;

/// <summary>
/// The person (or program with a person's token) behind a request, in the one organization that the credential is bound to. Read from the database on
/// every request, so a changed role or a removed member takes effect with the next one. Handlers take it as a parameter.
/// <see cref="GrantId"/> is the OAuth grant of the credential; null for sessions and personal access tokens.
/// </summary>
internal sealed record Caller(
    string UserId, string Email, string OrganizationId, string OrganizationName, Role Role, string CredentialId, string? Address, string? GrantId = null)
{
    /// <summary>Set by the authentication middleware, which runs before any handler that takes a caller.</summary>
    public static ValueTask<Caller> BindAsync(HttpContext context, ParameterInfo _) =>
        ValueTask.FromResult(context.Features.Get<Caller>()
            ?? throw new InvalidOperationException("This route takes a caller but does not require a role: add RequireRole."));
}

/// <summary>Endpoint metadata: the least role that may call the route.</summary>
internal sealed record RoleRequirement(Role Role);

internal static class RoleRequirementExtensions
{
    /// <summary>Admits people of at least this role; others get 401 or 403.</summary>
    public static TBuilder RequireRole<TBuilder>(this TBuilder builder, Role role) where TBuilder : IEndpointConventionBuilder =>
        builder.WithMetadata(new RoleRequirement(role)).AnswersProblems(401, 403, 503);
}
