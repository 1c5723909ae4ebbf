using System.Net;
using System.Net.Sockets;

using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;

using Tanjiren.Server.Hosting;

namespace Tanjiren.Cli.Hosting;

/// <summary>Builds and starts a control plane in this process, with failures worded for the person who typed the command.</summary>
internal static class LocalControlPlane
{
    public static WebApplication Build(ControlPlaneOptions options)
    {
        try
        {
            return ControlPlane.Build(options);
        }
        catch (FormatException e)
        {
            throw new CliException(e.Message, "see `tanvrit-compute server --help`", e);
        }
    }

    /// <summary>Starts it; <paramref name="elsewhere"/> is what to do when an address is in use.</summary>
    public static async Task StartAsync(WebApplication app, IReadOnlyList<string> urls, string elsewhere)
    {
        try
        {
            await app.StartAsync();
        }
        catch (FormatException e)
        {
            throw new CliException(e.Message, "see `tanvrit-compute server --help`", e);
        }
        catch (IOException e) when (e.InnerException is AddressInUseException or SocketException)
        {
            throw new CliException($"can't listen on {string.Join(", ", urls)}: {Why(e.InnerException)}", elsewhere, e);
        }
        catch (Exception e) when (e is AddressInUseException or SocketException)
        {
            throw new CliException($"can't listen on {string.Join(", ", urls)}: {Why(e)}", elsewhere, e);
        }
    }

    /// <summary>
    /// Whether something listens there. Asked before the start, because a control plane opens its database and runs its loops before it binds; the bind itself
    /// still decides.
    /// </summary>
    public static bool IsInUse(int port)
    {
        if (port == 0) return false;
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        // As Kestrel binds: without it a connection in TIME_WAIT would look like a listener.
        if (!OperatingSystem.IsWindows()) probe.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        try
        {
            probe.Bind(new IPEndPoint(IPAddress.Loopback, port));
            probe.Listen(1);
            return false;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            return true;
        }
        catch (SocketException e)
        {
            throw new CliException($"can't listen on 127.0.0.1:{port}: {Why(e)}", "choose another port with --port", e);
        }
    }

    private static string Why(Exception? e) => e switch
    {
        AddressInUseException or SocketException { SocketErrorCode: SocketError.AddressAlreadyInUse } => "the port is in use",
        SocketException { SocketErrorCode: SocketError.AccessDenied } => "this user may not use the port",
        SocketException { SocketErrorCode: SocketError.AddressNotAvailable } => "this machine has no such address",
        _ => "the address can't be used",
    };
}
