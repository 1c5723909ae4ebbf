using Microsoft.AspNetCore.Http.Features;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>
/// Compares <c>htu</c> with the URL of the request: scheme, host and port without regard to case and default ports, path and query byte for byte as
/// they came over the wire, so that nothing is normalised into a match.
/// </summary>
internal static class ProofUrl
{
    public static bool Matches(string? htu, HttpContext context, ServerAddress address)
    {
        if (htu is null) return false;
        var request = context.Request;
        var expectedBase = address.PublicUrl ?? $"{request.Scheme}://{request.Host.Value}";
        var target = context.Features.Get<IHttpRequestFeature>()?.RawTarget ?? "";
        if (!target.StartsWith('/')) return false; // absolute form is for proxies, and OPTIONS * for nobody here
        if (htu.Length == expectedBase.Length + target.Length && htu.StartsWith(expectedBase, StringComparison.Ordinal) && htu.EndsWith(target, StringComparison.Ordinal))
            return true;
        return Split(htu) is var (authority, rest) && Split(expectedBase + target) is var (expectedAuthority, expectedRest)
            && rest == expectedRest && string.Equals(authority, expectedAuthority, StringComparison.OrdinalIgnoreCase);
    }

    private static (string Authority, string Target)? Split(string url)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.UserInfo.Length > 0) return null;
        var start = url.IndexOf('/', url.IndexOf("://", StringComparison.Ordinal) + 3);
        return ($"{uri.Scheme}://{uri.IdnHost}:{uri.Port}", start < 0 ? "/" : url[start..]);
    }
}
