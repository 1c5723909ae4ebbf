using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using static Tanjiren.Server.Identity.FormPage;

namespace Tanjiren.Server.Organizations.Invitations;

/// <summary>The page behind the link of an invitation: one form for a new person, one for a person who has an account.</summary>
internal static class InvitationPage
{
    private static readonly FormPage Page = new("Join on Tanjiren", "/invitations");

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/invitations", ShowAsync).ExcludeFromDescription();
        routes.MapPost("/invitations", SubmitAsync).ExcludeFromDescription();
    }

    private static Task<IResult> ShowAsync(string? code, HttpContext context, InvitationAcceptance acceptance, AttemptLimiter limiter, InvitationOptions options,
        ServerSecrets secrets, ServerAddress address, CancellationToken cancellationToken) =>
        OfferAsync(new AcceptInvitationRequest { Code = code }, null, 200, context, acceptance, limiter, options, secrets, address, cancellationToken);

    private static async Task<IResult> SubmitAsync(HttpContext context, InvitationAcceptance acceptance, SignIn signIn, AttemptLimiter limiter, InvitationOptions options,
        Counters counters, ServerSecrets secrets, ServerAddress address, CancellationToken cancellationToken)
    {
        if (Refuse(context, address, "POST /api/invitations/accept") is { } refusal) return refusal;
        var form = await context.Request.ReadFormAsync(cancellationToken);
        var request = new AcceptInvitationRequest
        {
            Code = form["code"], Email = form["email"], Password = form["password"], Name = form.TryGetValue("name", out var name) ? name.ToString() : null,
        };
        if (!IsOwnForm(context, secrets, form))
            return await OfferAsync(request, "The form was too old. Send it again.", 403, context, acceptance, limiter, options, secrets, address, cancellationToken);

        var (member, problem) = await AcceptEndpoints.CompleteAsync(request, context, acceptance, limiter, options, counters, cancellationToken);
        if (problem is not null)
            return problem.RetryAfterSeconds is not null || problem.Value.Code == ProblemBody.CodeName(ErrorCode.InvalidInvitation)
                ? Refused(context, problem)
                : await OfferAsync(request, Explain(problem.Value), problem.Value.Status, context, acceptance, limiter, options, secrets, address, cancellationToken);
        var session = await signIn.StartSessionAsync(member!, cancellationToken);
        IdentityEndpoints.SetCookie(context, address, session.Secret, session.ExpiresAt);
        return Page.Answer(context, $"""
            <p>{Html(member!.Email)} is {Html(WithArticle(member.Role.ToString().ToLowerInvariant()))} of {Html(member.OrganizationName)} now. You are signed in.</p>
            <p>To use the command line, sign it in; it asks for the password:</p>
            <pre>tanvrit-compute auth login --server {Html(address.UrlFor(context.Request))} --email {Html(member.Email)} --organization {Html(member.OrganizationId)}</pre>
            """, 200);
    }

    private static async Task<IResult> OfferAsync(AcceptInvitationRequest request, string? error, int status, HttpContext context, InvitationAcceptance acceptance,
        AttemptLimiter limiter, InvitationOptions options, ServerSecrets secrets, ServerAddress address, CancellationToken cancellationToken)
    {
        var code = request.Code ?? "";
        var (offer, problem) = await AcceptEndpoints.LookAsync(code, context, acceptance, limiter, options, cancellationToken);
        if (offer is null) return Refused(context, problem!);
        var hidden = $"{Page.CsrfField(context, secrets, address)}<input type=\"hidden\" name=\"code\" value=\"{Html(code)}\">";
        var email = $"<p><label>Your e-mail<br><input name=\"email\" type=\"email\" value=\"{Html(request.Email ?? "")}\" required autocomplete=\"username\"></label></p>";
        return Page.Answer(context, $"""
            <p>You are invited to join {Html(offer.OrganizationName)} as {Html(WithArticle(offer.Role))}.</p>
            {Alert(error)}
            <h2>I am new here</h2>
            <form method="post" action="invitations">
            {hidden}
            {email}
            <p><label>Your name<br><input name="name" value="{Html(request.Name ?? "")}" required maxlength="{WireLimits.MaxNameLength}" autocomplete="name"></label></p>
            <p><label>A password, {Passwords.MinLength} characters or more<br><input name="password" type="password" minlength="{Passwords.MinLength}" required autocomplete="new-password"></label></p>
            <p><button>Make my account and join</button></p>
            </form>
            <h2>I have an account on this server</h2>
            <form method="post" action="invitations">
            {hidden}
            {email}
            <p><label>Its password<br><input name="password" type="password" required autocomplete="current-password"></label></p>
            <p><button>Join</button></p>
            </form>
            """, status);
    }

    private static IResult Refused(HttpContext context, Problem problem)
    {
        if (problem.RetryAfterSeconds is { } seconds) context.Response.Headers.RetryAfter = seconds.ToString();
        return Page.Answer(context, Alert(Explain(problem.Value)), problem.Value.Status);
    }

    private static string WithArticle(string role) => (role == "admin" ? "an " : "a ") + role;
}
