using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>
/// <c>/device</c>: where a person lets a client in (RFC 8628 §3.3). Signed in by the session cookie, or by a form on the page. Opening the link shows who asks;
/// only the button decides, and its form is good for this session and this code alone. Codes are looked up for people who are signed in, and counted, so that
/// nobody finds another's by trying.
/// </summary>
internal static class DevicePage
{
    private const string Title = "Sign in a device";
    private const int MaxOrganizations = WireLimits.MaxPageSize;
    private static readonly TimeSpan AttemptWindow = TimeSpan.FromMinutes(5);

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/device", ShowAsync).ExcludeFromDescription();
        routes.MapPost("/device", SubmitAsync).WithName("submitDevice").WithTags("OAuth")
            .WithSummary("What the forms of the page /device send: a sign-in, or a decision about a code.").TakesLittle()
            .TakesForm(
                new FormField("csrf", "As the form has it; it comes with a cookie.", Required: true), new FormField("user_code", "The code that the device shows."),
                new FormField("action", "What to do.", Required: true, "sign-in", "approve", "deny"), new FormField("organization", "Its id; to approve."),
                new FormField("email", "To sign in."), new FormField("password", "To sign in."))
            .AnswersPages(200, 401, 403, 409, 422, 429).Produces(303).AnswersProblems(400, 403, 408, 413, 415, 503);
    }

    private static async Task<IResult> ShowAsync(
        [Microsoft.AspNetCore.Mvc.FromQuery(Name = "user_code")] string? typed, HttpContext context, DeviceServices services, CancellationToken cancellationToken)
    {
        if (await services.SignedInAsync(context, cancellationToken) is not { } caller) return SignInForm(context, services, typed, null, 200);
        if (string.IsNullOrWhiteSpace(typed)) return CodeForm(context, caller, "", null, 200);
        if (services.Limit(context, caller, AttemptWindow) is { } seconds)
            return CodeForm(context, caller, "", $"Too many codes were tried. Try again in {seconds} s.", 429);
        if (UserCode.Normalize(typed) is not { } code || await services.Codes.FindAsync(code, cancellationToken) is not { } request)
            return CodeForm(context, caller, typed, "There is no such code: it is wrong, has expired, or was used. The device that asks shows its own.", 404);
        var organizations = await services.Organizations.ListAsync(caller, "", MaxOrganizations, cancellationToken);
        return DecisionForm(context, services, caller, code, request, organizations);
    }

    private static async Task<IResult> SubmitAsync(HttpContext context, DeviceServices services, CancellationToken cancellationToken)
    {
        if (services.Address.CheckOrigin(context.Request, required: true) is { } foreign) return foreign;
        if (!context.Request.HasFormContentType) return Problem.Of(415, ErrorCode.UnsupportedMediaType, "This page takes a form.", "Open it in a browser.");
        var form = await context.Request.ReadFormAsync(cancellationToken);
        var (typed, csrf) = (form["user_code"].ToString(), form["csrf"].ToString());

        if (form["action"] == "sign-in")
        {
            if (!services.Pages.IsOwn(context, csrf, SignInAbout)) return SignInForm(context, services, typed, "The form was too old. Send it again.", 403);
            // What no account can have is told here: a form that is multipart may hold a NUL, which PostgreSQL refuses.
            var errors = new FieldErrors();
            var email = errors.Text(form["email"], 254, "email").ToLowerInvariant();
            if (errors.Any) return SignInForm(context, services, typed, FormPages.Explain(errors.ToProblem().Value), 422);
            var outcome = await services.SignIn.WithPasswordAsync(email, form["password"].ToString(), null, context.Connection.RemoteIpAddress, cancellationToken);
            if (outcome.Refusal is { Value: var problem }) return SignInForm(context, services, typed, FormPages.Explain(problem), problem.Status);
            IdentityEndpoints.SetCookie(context, services.Address, outcome.Secret, outcome.ExpiresAt);
            return SeeOther(context, typed);
        }

        if (await services.SignedInAsync(context, cancellationToken) is not { } caller) return SignInForm(context, services, typed, "Your session has ended. Sign in again.", 401);
        if (UserCode.Normalize(typed) is not { } code || !services.Pages.IsOwn(context, csrf, DecisionAbout(caller, code)))
            return CodeForm(context, caller, typed, "The form was too old, or not one of this page. Nothing was decided; look at the code again.", 403);

        var approve = form["action"] == "approve";
        var organization = form["organization"].ToString();
        var decision = !approve ? await services.Codes.DenyAsync(caller, code, cancellationToken)
            : Ids.IsValid(organization, Ids.Organization) ? await services.Codes.ApproveAsync(caller, code, organization, cancellationToken)
            : DeviceDecision.NotMember;
        return decision switch
        {
            DeviceDecision.Applied when approve => Page(context, "<p>Done: the device is signed in. You can close this page and go back to it.</p>", 200),
            DeviceDecision.Applied => Page(context, "<p>Denied: the device was not signed in.</p>", 200),
            DeviceDecision.NotMember => CodeForm(context, caller, typed, "You are not in that organization.", 403),
            _ => CodeForm(context, caller, "", "That code has expired, or was decided before.", 409),
        };
    }

    private static IResult SignInForm(HttpContext context, DeviceServices services, string? userCode, string? error, int status) => Page(context, $"""
        {FormPages.Alert(error)}
        <p>Sign in first; then you see which device asks.</p>
        <form method="post" action="device">
        <input type="hidden" name="csrf" value="{services.Pages.NewToken(context, SignInAbout)}">
        <input type="hidden" name="user_code" value="{Html(userCode ?? "")}">
        <p><label>Your e-mail<br><input name="email" type="email" required autocomplete="username"></label></p>
        <p><label>Your password<br><input name="password" type="password" required autocomplete="current-password"></label></p>
        <p><button name="action" value="sign-in">Sign in</button></p>
        </form>
        """, status);

    private static IResult CodeForm(HttpContext context, Caller caller, string userCode, string? error, int status) => Page(context, $"""
        {FormPages.Alert(error)}
        <p>You are signed in as {Html(caller.Email)}.</p>
        <form method="get" action="device">
        <p><label>The code that the device shows<br><input name="user_code" value="{Html(userCode)}" required autocomplete="off" autocapitalize="characters" spellcheck="false"></label></p>
        <p><button>Go on</button></p>
        </form>
        """, status);

    private static IResult DecisionForm(
        HttpContext context, DeviceServices services, Caller caller, string code, DeviceRequest request, IReadOnlyList<OrganizationRow> organizations) => Page(context, $"""
        <p>You are signed in as {Html(caller.Email)}. A device asks to act for you:</p>
        <dl>
        <dt>Code</dt><dd><strong>{UserCode.Show(code)}</strong></dd>
        <dt>Program</dt><dd>{Html(OAuthClients.Find(request.ClientId)?.Name ?? request.ClientId)}</dd>
        <dt>Machine, by its own word</dt><dd>{Html(request.MachineName ?? "it gave no name")}</dd>
        <dt>Address</dt><dd>{Html(request.Address ?? "unknown")}</dd>
        </dl>
        <p>Approve only if you started this yourself, just now, and the device shows this very code. Whoever holds the device can then do all that you can do here.</p>
        <form method="post" action="device">
        <input type="hidden" name="csrf" value="{services.Pages.NewToken(context, DecisionAbout(caller, code))}">
        <input type="hidden" name="user_code" value="{UserCode.Show(code)}">
        {OrganizationChoice(caller, organizations)}
        <p><button name="action" value="approve">Approve</button> <button name="action" value="deny">Deny</button></p>
        </form>
        """, 200);

    private static string OrganizationChoice(Caller caller, IReadOnlyList<OrganizationRow> organizations) => organizations is [var only]
        ? $"<p>Organization: {Html(only.Name)}</p><input type=\"hidden\" name=\"organization\" value=\"{Html(only.Id)}\">"
        : "<p><label>Organization<br><select name=\"organization\">" + string.Concat(organizations.Select(o =>
            $"<option value=\"{Html(o.Id)}\"{(o.Id == caller.OrganizationId ? " selected" : "")}>{Html(o.Name)}</option>")) + "</select></label></p>";

    private const string SignInAbout = "device sign-in";

    private static string DecisionAbout(Caller caller, string code) => $"device decision\n{caller.CredentialId}\n{code}";

    /// <summary>By a relative reference, for the page may stand under a path of a proxy.</summary>
    private static IResult SeeOther(HttpContext context, string userCode)
    {
        context.Response.Headers.Location = userCode.Length == 0 ? "device" : "device?user_code=" + Uri.EscapeDataString(userCode);
        return TypedResults.StatusCode(303);
    }

    private static IResult Page(HttpContext context, string content, int status) => FormPages.Page(context, Title, content, status);

    private static string Html(string text) => FormPages.Html(text);
}

/// <summary>What the page works with.</summary>
internal sealed record DeviceServices(
    DeviceCodes Codes, CredentialStore Credentials, OrganizationService Organizations, SignIn SignIn, FormPages Pages, ServerAddress Address, AttemptLimiter Limiter, OAuthOptions Options)
{
    /// <summary>Who the session cookie belongs to; never a token: a page is for people.</summary>
    public async Task<Caller?> SignedInAsync(HttpContext context, CancellationToken cancellationToken) =>
        context.Request.Cookies.TryGetValue(CallerAuthentication.Cookie, out var cookie) && CredentialSecret.Parse(cookie) is { } secret
            ? await Credentials.AuthenticateAsync(secret, CredentialUse.Cookie, context.Connection.RemoteIpAddress?.ToString(), cancellationToken)
            : null;

    /// <summary>Counts a code that somebody looks at. Never forgotten before its time: their own codes must not buy guesses at others'.</summary>
    public int? Limit(HttpContext context, Caller caller, TimeSpan window) =>
        Limiter.Take("user-code-address:" + AttemptLimiter.KeyOf(context.Connection.RemoteIpAddress), Options.UserCodeTries, window)
        ?? Limiter.Take("user-code-user:" + caller.UserId, Options.UserCodeTries, window);
}
