using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Organizations.Invitations;

/// <summary>Accepting an invitation: a JSON route, and the page that the link opens.</summary>
internal static class AcceptEndpoints
{
    private static readonly TimeSpan TryWindow = TimeSpan.FromMinutes(5);

    public static void MapAccept(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/invitations/accept", AcceptAsync).WithName("acceptInvitation").WithTags("Organizations")
            .WithSummary("Joins an organization by an invitation; answers with the cookie tnv_session.").AnswersProblems(400, 401, 403, 408, 409, 413, 415, 422, 429, 503);
        InvitationPage.Map(routes);
    }

    private static async Task<Results<Ok<IdentityBody>, Problem>> AcceptAsync(AcceptInvitationRequest request, HttpContext context, InvitationAcceptance acceptance,
        SignIn signIn, AttemptLimiter limiter, InvitationOptions options, Counters counters, ServerAddress address, CancellationToken cancellationToken)
    {
        // As at the login: a foreign page must not sign the browser in as somebody else.
        if (address.CheckOrigin(context.Request, required: false) is { } foreign) return foreign;
        var (member, problem) = await CompleteAsync(request, context, acceptance, limiter, options, counters, cancellationToken);
        if (problem is not null) return problem;
        var session = await signIn.StartSessionAsync(member!, cancellationToken);
        IdentityEndpoints.SetCookie(context, address, session.Secret, session.ExpiresAt);
        return TypedResults.Ok(SignIn.Describe(session.Caller!));
    }

    /// <summary>What the JSON route and the page share: limits, validation, the one conditional change.</summary>
    internal static async Task<(Caller? Member, Problem? Problem)> CompleteAsync(AcceptInvitationRequest request, HttpContext context, InvitationAcceptance acceptance,
        AttemptLimiter limiter, InvitationOptions options, Counters counters, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var code = errors.Text(request.Code, 100, "code");
        var email = Passwords.CheckEmail(errors, request.Email, "email");
        var name = request.Name is null ? null : errors.Text(request.Name, WireLimits.MaxNameLength, "name");
        // What a new account needs is asked for before anything is looked up, so that the answer tells nobody which addresses have one.
        if (name is not null) Passwords.Check(errors, request.Password, "password");
        else errors.Require(!string.IsNullOrEmpty(request.Password), "password", "is required");
        if (errors.Any) return (null, errors.ToProblem());

        // The address first: one address can then not use up the codes' windows, nor the limiter's room.
        var remote = context.Connection.RemoteIpAddress;
        if ((limiter.Take("invitation-address:" + AttemptLimiter.KeyOf(remote), options.TriesPerAddress, TryWindow)
            ?? limiter.Take("invitation-code:" + CredentialSecret.HashOf(code), options.TriesPerCode, TryWindow)) is { } seconds)
        {
            counters.Add("invitationsLimited");
            return (null, SignIn.TooMany("uses of invitations", seconds));
        }
        var (refusal, member) = await acceptance.AcceptAsync(new Acceptance(code, email, request.Password!, name), remote, cancellationToken);
        counters.Add(refusal is null ? "invitationsAccepted" : "invitationsRefused");
        return (member, refusal);
    }

    /// <summary>What the code offers, for the page; looking is limited too, or it would be the place to guess codes.</summary>
    internal static async Task<(InvitationOffer? Offer, Problem? Problem)> LookAsync(
        string code, HttpContext context, InvitationAcceptance acceptance, AttemptLimiter limiter, InvitationOptions options, CancellationToken cancellationToken)
    {
        if (limiter.Take("invitation-look:" + AttemptLimiter.KeyOf(context.Connection.RemoteIpAddress), options.TriesPerAddress, TryWindow) is { } seconds)
            return (null, SignIn.TooMany("uses of invitations", seconds));
        return await acceptance.FindAsync(code, cancellationToken) is { } offer ? (offer, null) : (null, InvitationAcceptance.Invalid());
    }
}
