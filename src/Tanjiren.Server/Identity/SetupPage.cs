using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity;

/// <summary>The form behind the set-up link, rendered here because a bare server has nothing else.</summary>
internal static class SetupPage
{
    private const string Title = "Set up Tanjiren";
    private const string About = "setup";

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/setup", Show).ExcludeFromDescription();
        routes.MapPost("/setup", SubmitAsync).WithName("submitSetup").WithTags("Identity")
            .WithSummary("What the form of the page /setup sends: makes the first owner of a bare server.").TakesLittle()
            .TakesForm(
                new FormField("csrf", "As the form has it; it comes with a cookie.", Required: true), new FormField("code", "Of the printed link.", Required: true),
                new FormField("email", "Of the owner.", Required: true), new FormField("password", "Of the owner.", Required: true),
                new FormField("organizationName", "Of the first organization.", Required: true))
            .AnswersPages(200, 403, 409, 422, 429).AnswersProblems(400, 403, 408, 413, 415, 503);
    }

    private static IResult Show(string? code, HttpContext context, FormPages pages) => Render(context, pages, code ?? "", null, 200);

    private static async Task<IResult> SubmitAsync(
        HttpContext context, SetupService setup, SignIn signIn, AttemptLimiter limiter, FormPages pages, ServerAddress address, CancellationToken cancellationToken)
    {
        if (address.CheckOrigin(context.Request, required: true) is { } foreign) return foreign;
        if (!context.Request.HasFormContentType) return Problem.Of(415, ErrorCode.UnsupportedMediaType, "This page takes a form.", "Programs use POST /api/setup.");
        var form = await context.Request.ReadFormAsync(cancellationToken);
        var code = form["code"].ToString();
        if (!pages.IsOwn(context, form["csrf"].ToString(), About))
            return Render(context, pages, code, "The form was too old. Send it again.", 403);

        var request = new SetupRequest
        {
            Code = code, Email = form["email"], Password = form["password"], OrganizationName = form["organizationName"],
        };
        var (owner, problem) = await SetupEndpoints.CompleteAsync(request, context, setup, limiter, cancellationToken);
        if (problem is not null) return Render(context, pages, code, FormPages.Explain(problem.Value), problem.Value.Status);
        var session = await signIn.StartSessionAsync(owner!, cancellationToken);
        if (session.Refusal is { } removed) return Render(context, pages, code, FormPages.Explain(removed.Value), removed.Value.Status);
        IdentityEndpoints.SetCookie(context, address, session.Secret, session.ExpiresAt);
        var url = address.UrlOf(context.Request);
        return FormPages.Page(context, Title, $"""
            <p>{Html(owner!.Email)} is the owner of {Html(owner.OrganizationName)} now. You are signed in.</p>
            <p>Next, on the machine that you work at, sign the command line in; it shows a code, which you approve on a page like this one:</p>
            <pre>tanvrit-compute auth login --server {Html(url)}</pre>
            """, 200);
    }

    private static IResult Render(HttpContext context, FormPages pages, string code, string? error, int status) => FormPages.Page(context, Title, $"""
        {FormPages.Alert(error)}
        <form method="post" action="setup">
        <input type="hidden" name="csrf" value="{pages.NewToken(context, About)}">
        <p><label>Set-up code<br><input name="code" value="{Html(code)}" required autocomplete="off"></label></p>
        <p><label>Your e-mail<br><input name="email" type="email" required autocomplete="username"></label></p>
        <p><label>A password, {Passwords.MinLength} characters or more<br><input name="password" type="password" minlength="{Passwords.MinLength}" required autocomplete="new-password"></label></p>
        <p><label>Name of the organization<br><input name="organizationName" required maxlength="{WireLimits.MaxNameLength}"></label></p>
        <p><button>Make me the owner</button></p>
        </form>
        """, status);

    private static string Html(string text) => FormPages.Html(text);
}
