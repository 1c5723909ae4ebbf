using System.Net;
using Microsoft.AspNetCore.HttpOverrides;

namespace Tanjiren.Server.Hosting;

/// <summary>
/// Takes a client's address from <c>X-Forwarded-For</c> where a proxy of ours wrote it: limits by address and the audit are about clients, not about the proxy.
/// Without a trusted proxy the header is ignored, for then anybody could write it.
/// </summary>
internal static class TrustedProxies
{
    /// <exception cref="FormatException">A setting is neither an address nor a network.</exception>
    public static void UseTrustedProxies(this IApplicationBuilder app)
    {
        var trusted = app.ApplicationServices.GetRequiredService<HostingOptions>().TrustedProxies;
        if (trusted.Count == 0) return;
        // No limit: the chain is read from its end for as long as each writer is one of ours.
        var options = new ForwardedHeadersOptions { ForwardedHeaders = ForwardedHeaders.XForwardedFor, ForwardLimit = null };
        options.KnownProxies.Clear();
        options.KnownIPNetworks.Clear();
        for (var i = 0; i < trusted.Count; i++)
        {
            if (IPAddress.TryParse(trusted[i], out var address)) options.KnownProxies.Add(address);
            else if (System.Net.IPNetwork.TryParse(trusted[i], out var network)) options.KnownIPNetworks.Add(network);
            else throw new FormatException($"Tanjiren:Hosting:TrustedProxies:{i} is '{trusted[i]}'; give an address (10.0.0.5) or a network (10.0.0.0/8).");
        }
        app.UseForwardedHeaders(options);
    }
}
