using System.Net;
using Microsoft.Extensions.Primitives;

namespace Tanjiren.Server.Hosting;

/// <summary>Under which names this server is reached: the answer to DNS rebinding (<c>Host</c>), foreign pages (<c>Origin</c>) and relayed proofs (<c>htu</c>).</summary>
internal sealed class ServerAddress
{
    private readonly HashSet<string> _hosts = new(["localhost", "127.0.0.1", "[::1]"], StringComparer.OrdinalIgnoreCase);
    private readonly bool _anyAddress;

    /// <exception cref="FormatException">A URL can't be understood, or asks for plain http beyond loopback.</exception>
    public ServerAddress(ControlPlaneOptions options, HostingOptions hosting)
    {
        foreach (var url in options.Urls)
        {
            var address = Parse(url);
            if (address.IsUnixPipe) continue;
            if (!options.InsecureHttp && address.Scheme == "http" && !IsLoopback(address.Host))
                throw new FormatException(
                    $"The URL '{url}' is plain http on an address that is not loopback: passwords and tokens would travel in the clear. Use https, listen on "
                    + "127.0.0.1 behind a proxy that ends TLS, or allow it with --insecure-http.");
            if (address.Host is "*" or "+" or "0.0.0.0" or "[::]") _anyAddress = true;
            else _hosts.Add(address.Host);
        }
        if (options.PublicUrl is { } publicUrl)
        {
            if (!Uri.TryCreate(publicUrl, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.Query.Length > 0)
                throw new FormatException($"The public URL '{publicUrl}' is not of the form https://HOST[:PORT][/PATH].");
            PublicUrl = uri.GetLeftPart(UriPartial.Path).TrimEnd('/');
            PublicOrigin = uri.GetLeftPart(UriPartial.Authority);
            _hosts.Add(uri.Host);
        }
        foreach (var host in hosting.AllowedHosts) _hosts.Add(host);
    }

    /// <summary>The configured public URL without a trailing slash; null: the request's own.</summary>
    public string? PublicUrl { get; }

    private string? PublicOrigin { get; }

    /// <summary>The URL under which clients reach this server, without a trailing slash.</summary>
    public string UrlOf(HttpRequest request) => PublicUrl ?? $"{request.Scheme}://{request.Host.Value}";

    /// <summary>Whether cookies may be marked Secure: the browser speaks https to us or to the proxy.</summary>
    public bool IsSecure(HttpRequest request) => request.IsHttps || PublicUrl?.StartsWith("https:", StringComparison.Ordinal) == true;

    /// <summary>
    /// Whether a <c>Host</c> header names this server. Listening on every address, it takes any IP literal: a page that rebinds a name to us
    /// still sends the name.
    /// </summary>
    public bool IsOwnHost(HostString host) =>
        host.HasValue && (_hosts.Contains(host.Host) || (_anyAddress && IPAddress.TryParse(host.Host, out _)));

    /// <summary>Whether an <c>Origin</c> header is of our own pages. Absent is no: browsers send it with every request that changes something.</summary>
    public bool IsOwnOrigin(StringValues origin, HttpRequest request) =>
        origin.Count == 1
        && (string.Equals(origin[0], PublicOrigin, StringComparison.OrdinalIgnoreCase)
            || string.Equals(origin[0], $"{request.Scheme}://{request.Host.Value}", StringComparison.OrdinalIgnoreCase));

    internal static bool IsLoopback(string host) =>
        string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address));

    private static BindingAddress Parse(string url)
    {
        try
        {
            var address = BindingAddress.Parse(url);
            if (address.Scheme is "http" or "https") return address;
        }
        catch (FormatException)
        {
            // Said below, in the words of the setting.
        }
        throw new FormatException($"The URL '{url}' to listen on is not of the form http://HOST:PORT or https://HOST:PORT.");
    }
}
