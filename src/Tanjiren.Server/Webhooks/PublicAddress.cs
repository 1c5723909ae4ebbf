using System.Net;
using System.Net.Sockets;

namespace Tanjiren.Server.Webhooks;

/// <summary>
/// Which addresses the server may connect to because somebody typed a URL. Pure. Without it an admin of one organization could have the server ask what only the server
/// can reach: its own loopback, the network around it, the credentials that clouds serve to their machines.
/// </summary>
internal static class PublicAddress
{
    /// <summary>What a company's own network may use: reached only with the setting <c>AllowPrivate</c>.</summary>
    private static readonly IPNetwork[] Private = Networks(
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
        "100.64.0.0/10",        // between carriers and their customers; also private overlays
        "::1/128", "fc00::/7"); // loopback, unique local

    /// <summary>Never, by no setting: nobody's receiver is there.</summary>
    private static readonly IPNetwork[] Never = Networks(
        "0.0.0.0/8",            // this host
        "169.254.0.0/16",       // link-local, with the metadata address of most clouds
        "100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128", "fd20:ce::254/128", // and of the others
        "192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", // protocol assignments, documentation
        "192.88.99.0/24",       // relays of 6to4
        "198.18.0.0/15",        // benchmarks
        "224.0.0.0/4", "240.0.0.0/4", // multicast, reserved, broadcast
        "2001::/23",            // protocol assignments, with Teredo, which embeds an IPv4 address, benchmarks and ORCHID
        "2001:db8::/32", "3fff::/20", // documentation
        "2002::/16");           // 6to4, which embeds an IPv4 address

    /// <summary>The only IPv6 space of hosts that is given out. Mapped and NAT64 addresses, link-local, multicast and the unspecified one lie outside.</summary>
    private static readonly IPNetwork GlobalUnicast = IPNetwork.Parse("2000::/3");

    /// <summary>Whether a connection may go there. The very address must be asked, not a name: between two look-ups a name may change.</summary>
    public static bool MayReach(IPAddress address, bool allowPrivate)
    {
        if (Never.Any(network => network.Contains(address))) return false;
        if (Private.Any(network => network.Contains(address))) return allowPrivate;
        return address.AddressFamily == AddressFamily.InterNetwork || GlobalUnicast.Contains(address);
    }

    private static IPNetwork[] Networks(params ReadOnlySpan<string> networks)
    {
        var parsed = new IPNetwork[networks.Length];
        for (var i = 0; i < networks.Length; i++) parsed[i] = IPNetwork.Parse(networks[i]);
        return parsed;
    }
}
