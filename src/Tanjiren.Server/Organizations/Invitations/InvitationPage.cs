using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using static Tanjiren.Server.Identity.FormPages;

namespace Tanjiren.Server.Organizations.Invitations;

/// <summary>The page behind the link of an invitation: one form for a new person, one for a person who has an account.</summary>
internal sealed class InvitationPage(InvitationAcceptance acceptance, InvitationLimits limits, SignIn signIn, FormPages pages, ServerAddress address)
{
    private const string Path = "/invitations";

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(Path, (string? code, HttpContext context, InvitationPage page, CancellationToken cancellationToken) =>
            page.OfferAsync(context, new AcceptInvitationRequest { Code = code }, null, 200, cancellationToken)).ExcludeFromDescription();
        routes.MapPost(Path, (HttpContext context, InvitationPage page, CancellationToken cancellationToken) => page.SubmitAsync(context, cancellationToken))
            .WithName("submitInvitation").WithTags("Organizations").WithSummary("What the forms of the page /invitations send: joins by an invitation.").TakesLittle()
            .TakesForm(
                new FormField("csrf", "As the form has it; it comes with a cookie.", Required: true), new FormField("code", "Of the link.", Required: true),
                new FormField("email", "Of the account.", Required: true), new FormField("password", "Of the account, or of the new one.", Required: true),
                new FormField("name", "Of a new person; absent: the account exists."))
            .AnswersPages(200, 401, 403, 409, 422, 429).AnswersProblems(400, 403, 408, 413, 415, 503);
    }

    private async Task<IResult> SubmitAsync(HttpContext context, CancellationToken cancellationToken)
    {
        // "null" is what browsers send from a page with Referrer-Policy no-referrer (Fetch standard, "append a request Origin header"); the token decides then.
        if (context.Request.Headers.Origin is not ["null"] && address.CheckOrigin(context.Request, required: true) is { } foreign) return foreign;
        if (!context.Request.HasFormContentType) return Problem.Of(415, ErrorCode.UnsupportedMediaType, "This page takes a form.", "Programs use POST /api/invitations/accept.");
        var form = await context.Request.ReadFormAsync(cancellationToken);
        var request = new AcceptInvitationRequest
        {
            Code = form["code"], Email = form["email"], Password = form["password"], Name = form.TryGetValue("name", out var name) ? name.ToString() : null,
        };
        if (!pages.IsOwn(context, form["csrf"].ToString(), About(request)))
            return await OfferAsync(context, request, "The form was too old. Send it again.", 403, cancellationToken);

        var (member, problem) = await AcceptEndpoints.CompleteAsync(request, context, acceptance, limits, cancellationToken);
        if (problem is not null)
            return problem.RetryAfterSeconds is not null || problem.Value.Is(ErrorCode.InvalidInvitation)
                ? Refused(context, problem)
                : await OfferAsync(context, request, Explain(problem.Value), problem.Value.Status, cancellationToken);
        var session = await signIn.StartSessionAsync(member!, cancellationToken);
        if (session.Refusal is { } removed) return Refused(context, removed);
        IdentityEndpoints.SetCookie(context, address, session.Secret, session.ExpiresAt);
        return Answer(context, $"""
            <p>{Html(member!.Email)} is {WithArticle(member.Role.ToString().ToLowerInvariant())} of {Html(member.OrganizationName)} now. You are signed in.</p>
            <p>To use the command line, sign it in; it shows a code, which you approve on a page like this one:</p>
            <pre>tanvrit-compute auth login --server {Html(address.UrlOf(context.Request))}</pre>
            """, 200);
    }

    private async Task<IResult> OfferAsync(HttpContext context, AcceptInvitationRequest request, string? error, int status, CancellationToken cancellationToken)
    {
        // Looking is limited too, or it would be the place to guess codes.
        if (limits.TakeLook(context.Connection.RemoteIpAddress) is { } limited) return Refused(context, limited);
        if (await acceptance.FindAsync(request.Code ?? "", cancellationToken) is not { } offer) return Refused(context, InvitationAcceptance.Invalid());
        var hidden = $"<input type=\"hidden\" name=\"csrf\" value=\"{pages.NewToken(context, About(request))}\"><input type=\"hidden\" name=\"code\" value=\"{Html(request.Code!)}\">";
        var email = $"<p><label>Your e-mail<br><input name=\"email\" type=\"email\" value=\"{Html(request.Email ?? "")}\" required autocomplete=\"username\"></label></p>";
        return Answer(context, $"""
            <p>You are invited to join {Html(offer.OrganizationName)} as {WithArticle(offer.Role)}.</p>
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
        return Answer(context, Alert(Explain(problem.Value)), problem.Value.Status);
    }

    private static IResult Answer(HttpContext context, string content, int status)
    {
        var answer = Page(context, "Join on Tanjiren", content, status);
        // Stricter than other forms: this link may go on working for days, and proxies log referrers, our own too.
        context.Response.Headers["Referrer-Policy"] = "no-referrer";
        return answer;
    }

    private static string About(AcceptInvitationRequest request) => "invitation " + request.Code;

    private static string WithArticle(string role) => (role == "admin" ? "an " : "a ") + role;
}
