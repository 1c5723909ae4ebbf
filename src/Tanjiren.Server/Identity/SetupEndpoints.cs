using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity;

/// <summary>The set-up of a bare server: a JSON route, and the page that the printed link opens.</summary>
internal static class SetupEndpoints
{
    private const int AttemptsPerAddress = 20;
    private static readonly TimeSpan AttemptWindow = TimeSpan.FromMinutes(5);

    public static void MapSetup(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/setup", SetupAsync).WithName("setup").WithTags("Identity")
            .WithSummary("Makes the first owner of a bare server; answers with the cookie tnv_session.").TakesLittle().AnswersProblems(400, 403, 409, 408, 413, 415, 422, 429);
        SetupPage.Map(routes);
    }

    private static async Task<Results<Created<IdentityBody>, Problem>> SetupAsync(
        SetupRequest request, HttpContext context, SetupService setup, SignIn signIn, AttemptLimiter limiter, ServerAddress address, CancellationToken cancellationToken)
    {
        if (address.CheckOrigin(context.Request, required: false) is { } foreign) return foreign;
        var (owner, problem) = await CompleteAsync(request, context, setup, limiter, cancellationToken);
        if (problem is not null) return problem;
        var session = await signIn.StartSessionAsync(owner!, cancellationToken);
        if (session.Refusal is { } removed) return removed;
        IdentityEndpoints.SetCookie(context, address, session.Secret, session.ExpiresAt);
        return TypedResults.Created("/api/auth/me", SignIn.Describe(session.Caller!));
    }

    /// <summary>What the JSON route and the page share: limits, validation, the one conditional change.</summary>
    internal static async Task<(Caller? Owner, Problem? Problem)> CompleteAsync(
        SetupRequest request, HttpContext context, SetupService setup, AttemptLimiter limiter, CancellationToken cancellationToken)
    {
        var remote = context.Connection.RemoteIpAddress;
        if (limiter.Take("setup:" + AttemptLimiter.KeyOf(remote), AttemptsPerAddress, AttemptWindow) is { } seconds)
            return (null, SignIn.TooMany("set-up attempts", seconds));
        var errors = new FieldErrors();
        var code = errors.Text(request.Code, 100, "code");
        var email = Passwords.CheckEmail(errors, request.Email, "email");
        var password = Passwords.Check(errors, request.Password, "password");
        var organization = errors.Text(request.OrganizationName, WireLimits.MaxNameLength, "organizationName");
        if (errors.Any) return (null, errors.ToProblem());

        var (result, owner) = await setup.CompleteAsync(code, email, password, organization, remote?.ToString(), cancellationToken);
        return result switch
        {
            SetupResult.AlreadySetUp => (null, Problem.Conflict(ErrorCode.AlreadySetUp, "This server has an owner already.", "Sign in at POST /api/auth/login.")),
            SetupResult.InvalidCode => (null, Problem.Of(422, ErrorCode.InvalidSetupCode, "The set-up code does not work: it is wrong, used or expired.",
                "Restart the server: it prints a new link.")),
            _ => (owner, null),
        };
    }
}
