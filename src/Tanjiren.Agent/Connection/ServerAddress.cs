using System.Net;

namespace Tanjiren.Agent.Connection;

/// <summary>Which addresses an agent may talk to, and how.</summary>
internal static class ServerAddress
{
    /// <summary>The base address without a trailing slash, or why it is refused.</summary>
    public static (string? BaseUrl, string? Error) Parse(string url, bool insecureHttp)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
            return (null, $"The server's address is '{url}'; give one such as https://tanjiren.example.com.");
        if (uri.UserInfo.Length > 0 || uri.Query.Length > 0 || uri.Fragment.Length > 0)
            return (null, $"The server's address is '{url}'; give it without user name, query and fragment.");
        if (uri.Scheme == "http" && !IsLoopback(uri) && !insecureHttp)
            return (null, $"The server's address '{url}' is plain http to another machine: everyone on the way could read every log. Use https, or --insecure-http.");
        return (uri.GetLeftPart(UriPartial.Path).TrimEnd('/'), null);
    }

    /// <summary>Judged by the written address only: a name that resolves to loopback today may not tomorrow.</summary>
    public static bool IsLoopback(Uri uri) =>
        uri.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(uri.Host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address));
}
