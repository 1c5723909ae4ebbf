using Tanjiren.Protocol;

namespace Tanjiren.Server.Identity.OAuth;

/// <summary>A refusal in the form of RFC 6749 §5.2: 400, or 401 for a client that authenticates itself by a header.</summary>
internal sealed class OAuthError(int status, string error, string description) : IResult
{
    public static OAuthError Of(string error, string description) => new(400, error, description);

    public static OAuthError InvalidGrant(string description) => Of(OAuthErrors.InvalidGrant, description);

    public Task ExecuteAsync(HttpContext httpContext)
    {
        httpContext.Response.StatusCode = status;
        NoStore(httpContext.Response);
        if (status == 401) httpContext.Response.Headers.WWWAuthenticate = "Basic realm=\"oauth\"";
        return httpContext.Response.WriteAsJsonAsync(
            new OAuthErrorBody { Error = error, ErrorDescription = description }, WireJson.Default.OAuthErrorBody, "application/json", httpContext.RequestAborted);
    }

    /// <summary>RFC 6749 §5.1: what carries tokens is kept by no cache.</summary>
    public static void NoStore(HttpResponse response) => (response.Headers.CacheControl, response.Headers.Pragma) = ("no-store", "no-cache");
}
