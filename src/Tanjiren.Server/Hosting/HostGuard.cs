using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Hosting;

/// <summary>Refuses requests that name a foreign host, before anything looks at them: a page on the internet could otherwise reach a server on localhost by rebinding its own name.</summary>
internal static class HostGuard
{
    public static void UseHostGuard(this IApplicationBuilder app)
    {
        var address = app.ApplicationServices.GetRequiredService<ServerAddress>();
        app.Use((context, next) =>
        {
            context.Response.Headers.XContentTypeOptions = "nosniff";
            return address.IsOwnHost(context.Request.Host) ? next(context) : Foreign(context.Request.Host).ExecuteAsync(context);
        });
    }

    /// <summary>
    /// Requests that change something and come from a page of another origin, or from none with a cookie, are not the person's wish.
    /// Null when the request may go on.
    /// </summary>
    public static Problem? CheckOrigin(this ServerAddress address, HttpRequest request, bool required)
    {
        if (HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method) || HttpMethods.IsOptions(request.Method)) return null;
        var origin = request.Headers.Origin;
        if (origin.Count == 0 && !required) return null;
        return address.IsOwnOrigin(origin, request)
            ? null
            : Problem.Of(403, ErrorCode.ForeignOrigin,
                origin.Count == 0 ? "A request with a session cookie that changes something must carry an Origin header." : $"The origin '{origin}' is not this server's.",
                "Programs use a personal access token as 'Authorization: Bearer tnv_…' instead of the cookie.");
    }

    private static Problem Foreign(HostString host) => Problem.Of(403, ErrorCode.ForeignOrigin,
        $"The host '{host.Value}' is not a name of this server.",
        "Use the address that the server listens on; to serve another name, set --public-url or Tanjiren__Hosting__AllowedHosts__0.");
}
