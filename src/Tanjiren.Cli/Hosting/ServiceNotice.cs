using System.Net.Sockets;
using System.Text;

using Tanjiren.Agent;

namespace Tanjiren.Cli.Hosting;

/// <summary>
/// What systemd is told of an agent that it runs (sd_notify(3)): a datagram for each word to the socket that <c>NOTIFY_SOCKET</c> names. The signs of life come from the agent's own loops and
/// from no timer: an agent whose loops hang falls silent, and is started again after the unit's <c>WatchdogSec</c>.
/// </summary>
internal sealed class ServiceNotice : IDisposable
{
    private const string Variable = "NOTIFY_SOCKET";

    private readonly Socket socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private readonly UnixDomainSocketEndPoint place;

    private ServiceNotice(UnixDomainSocketEndPoint place)
    {
        this.place = place;
        // Called from the agent's loops, which must not wait long for whoever does not read.
        socket.SendTimeout = 1000;
    }

    /// <summary>Null unless a service manager asks for it. The variable is taken out of the environment: neither the watchdog nor any job may speak for the agent.</summary>
    public static ServiceNotice? FromEnvironment(Func<string, string?> variable)
    {
        var path = variable(Variable);
        if (path is null or "" || path[0] is not ('/' or '@') || !Socket.OSSupportsUnixDomainSockets) return null;
        Environment.SetEnvironmentVariable(Variable, null);
        try
        {
            // A leading @ stands for the zero byte of an abstract name.
            return new ServiceNotice(new UnixDomainSocketEndPoint(path[0] == '@' ? '\0' + path[1..] : path));
        }
        catch (ArgumentException)
        {
            // No address of a socket (too long): whoever set it is no service manager.
            return null;
        }
    }

    public void Tell(AgentLife life)
    {
        try
        {
            socket.SendTo(Encoding.ASCII.GetBytes(Words(life)), place);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Nobody listens, or too slowly. It is for whoever supervises the agent, and none of its own affairs.
        }
    }

    public void Dispose() => socket.Dispose();

    private static string Words(AgentLife life) => life switch
    {
        AgentLife.Ready => "READY=1",
        AgentLife.Stopping => "STOPPING=1",
        _ => "WATCHDOG=1",
    };
}
