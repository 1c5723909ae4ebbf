using Tanjiren.Protocol;

namespace Tanjiren.Server.Problems;

/// <summary>An error answer: RFC 9457 problem details. Handlers return it; nothing in the server throws one.</summary>
internal sealed class Problem(ProblemBody body) : IResult, IStatusCodeHttpResult, IValueHttpResult<ProblemBody>
{
    private const string ContentType = "application/problem+json";

    public int? StatusCode => body.Status;
    public ProblemBody Value => body;

    /// <summary>Seconds for a <c>Retry-After</c> header.</summary>
    public int? RetryAfterSeconds { get; init; }

    public Task ExecuteAsync(HttpContext httpContext)
    {
        httpContext.Response.StatusCode = body.Status;
        if (RetryAfterSeconds is { } seconds) httpContext.Response.Headers.RetryAfter = seconds.ToString();
        return httpContext.Response.WriteAsJsonAsync(body, WireJson.Default.ProblemBody, ContentType, httpContext.RequestAborted);
    }

    public static Problem Of(int status, ErrorCode code, string detail, string? hint = null, string? currentState = null) => new(new ProblemBody
    {
        Type = "urn:tanjiren:problem:" + ProblemBody.CodeName(code),
        Title = TitleOf(status),
        Status = status,
        Code = ProblemBody.CodeName(code),
        Detail = detail,
        Hint = hint,
        CurrentState = currentState,
    });

    public static Problem NotFound(string what, string id) =>
        Of(404, ErrorCode.NotFound, $"There is no {what} '{id}' in this organization.", "List them to see the ids that exist.");

    public static Problem Conflict(ErrorCode code, string detail, string hint, string? currentState = null) =>
        Of(409, code, detail, hint, currentState);

    public static Problem Validation(IReadOnlyDictionary<string, string[]> errors) => new(new ProblemBody
    {
        Type = "urn:tanjiren:problem:" + ProblemBody.CodeName(ErrorCode.ValidationFailed),
        Title = TitleOf(422),
        Status = 422,
        Code = ProblemBody.CodeName(ErrorCode.ValidationFailed),
        Detail = $"{(errors.Count == 1 ? "One field is" : $"{errors.Count} fields are")} invalid: {string.Join(", ", errors.Keys)}.",
        Hint = "Correct the fields named in 'errors' and send the request again.",
        Errors = errors,
    });

    internal static string TitleOf(int status) => status switch
    {
        400 => "Bad request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not found",
        405 => "Method not allowed",
        408 => "Request timeout",
        409 => "Conflict",
        413 => "Content too large",
        415 => "Unsupported media type",
        422 => "Invalid input",
        429 => "Too many requests",
        503 => "Service unavailable",
        _ => "Error",
    };
}
