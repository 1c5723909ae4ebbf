using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using static Tanjiren.Server.Identity.FormPage;

namespace Tanjiren.Server.Identity;

/// <summary>The form behind the set-up link of a bare server.</summary>
internal static class SetupPage
{
    private static readonly FormPage Page = new("Set up Tanjiren", "/setup");

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/setup", Show).ExcludeFromDescription();
        routes.MapPost("/setup", SubmitAsync).ExcludeFromDescription();
    }

    private static IResult Show(string? code, HttpContext context, ServerSecrets secrets, ServerAddress address) => Render(context, secrets, address, code ?? "", null, 200);

    private static async Task<IResult> SubmitAsync(
        HttpContext context, SetupService setup, SignIn signIn, AttemptLimiter limiter, ServerSecrets secrets, ServerAddress address, CancellationToken cancellationToken)
    {
        if (Refuse(context, address, "POST /api/setup") is { } refusal) return refusal;
        var form = await context.Request.ReadFormAsync(cancellationToken);
        var code = form["code"].ToString();
        if (!IsOwnForm(context, secrets, form)) return Render(context, secrets, address, code, "The form was too old. Send it again.", 403);

        var request = new SetupRequest
        {
            Code = code, Email = form["email"], Password = form["password"], OrganizationName = form["organizationName"],
        };
        var (owner, problem) = await SetupEndpoints.CompleteAsync(request, context, setup, limiter, cancellationToken);
        if (problem is not null) return Render(context, secrets, address, code, Explain(problem.Value), problem.Value.Status);
        var session = await signIn.StartSessionAsync(owner!, cancellationToken);
        IdentityEndpoints.SetCookie(context, address, session.Secret, session.ExpiresAt);
        return Page.Answer(context, $"""
            <p>{Html(owner!.Email)} is the owner of {Html(owner.OrganizationName)} now. You are signed in.</p>
            <p>Next, on the machine that you work at, sign the command line in; it asks for the password:</p>
            <pre>tanvrit-compute auth login --server {Html(address.UrlFor(context.Request))} --email {Html(owner.Email)}</pre>
            """, 200);
    }

    private static IResult Render(HttpContext context, ServerSecrets secrets, ServerAddress address, string code, string? error, int status) =>
        Page.Answer(context, $"""
            {Alert(error)}
            <form method="post" action="setup">
            {Page.CsrfField(context, secrets, address)}
            <p><label>Set-up code<br><input name="code" value="{Html(code)}" required autocomplete="off"></label></p>
            <p><label>Your e-mail<br><input name="email" type="email" required autocomplete="username"></label></p>
            <p><label>A password, {Passwords.MinLength} characters or more<br><input name="password" type="password" minlength="{Passwords.MinLength}" required autocomplete="new-password"></label></p>
            <p><label>Name of the organization<br><input name="organizationName" required maxlength="{WireLimits.MaxNameLength}"></label></p>
            <p><button>Make me the owner</button></p>
            </form>
            """, status);
}
