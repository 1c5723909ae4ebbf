using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Organizations.Invitations;

/// <summary>Accepting an invitation: a JSON route, and the page that the link opens.</summary>
internal static class AcceptEndpoints
{
    public static void MapAccept(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/invitations/accept", AcceptAsync).WithName("acceptInvitation").WithTags("Organizations")
            .WithSummary("Joins an organization by an invitation; answers with the cookie tnv_session.").TakesLittle().AnswersProblems(400, 401, 403, 408, 409, 413, 415, 422, 429, 503);
        InvitationPage.Map(routes);
    }

    private static async Task<Results<Ok<IdentityBody>, Problem>> AcceptAsync(AcceptInvitationRequest request, HttpContext context, InvitationAcceptance acceptance,
        InvitationLimits limits, SignIn signIn, ServerAddress address, CancellationToken cancellationToken)
    {
        // As at the login: a foreign page must not sign the browser in as somebody else.
        if (address.CheckOrigin(context.Request, required: false) is { } foreign) return foreign;
        var (member, problem) = await CompleteAsync(request, context, acceptance, limits, cancellationToken);
        if (problem is not null) return problem;
        var session = await signIn.StartSessionAsync(member!, cancellationToken);
        if (session.Refusal is { } removed) return removed;
        IdentityEndpoints.SetCookie(context, address, session.Secret, session.ExpiresAt);
        return TypedResults.Ok(SignIn.Describe(session.Caller!));
    }

    /// <summary>What the JSON route and the page share: validation, limits, the one conditional change.</summary>
    internal static async Task<(Caller? Member, Problem? Problem)> CompleteAsync(
        AcceptInvitationRequest request, HttpContext context, InvitationAcceptance acceptance, InvitationLimits limits, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var code = errors.Text(request.Code, 100, "code");
        var email = Passwords.CheckEmail(errors, request.Email, "email");
        var name = request.Name is null ? null : errors.Text(request.Name, WireLimits.MaxNameLength, "name");
        // What a new account needs is asked for before anything is looked up, so that the answer tells nobody which addresses have one.
        if (name is not null) Passwords.Check(errors, request.Password, "password");
        else errors.Require(!string.IsNullOrEmpty(request.Password), "password", "is required");
        if (errors.Any) return (null, errors.ToProblem());

        var remote = context.Connection.RemoteIpAddress;
        if (limits.TakeTry(remote, code) is { } limited) return (null, limited);
        var (refusal, member) = await acceptance.AcceptAsync(new Acceptance(code, email, request.Password!, name), remote, cancellationToken);
        return (member, refusal);
    }
}
