using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Whether the server is there: its name, its port, its certificate, its word. Which of them fails says who can help.</summary>
internal static class ServerCheck
{
    private const string Name = "server";
    /// <summary>What <c>/healthz</c> says.</summary>
    private const string Alive = "alive";

    public static DoctorCheck Check { get; } = new(Name, Verdict.Problem, RunAsync);

    private static async Task<Finding> RunAsync(DoctorScene scene, CancellationToken cancellation)
    {
        if (scene.Server is not { } server)
            return Finding.Warning(Name, "no server is known: this machine is not paired, and nobody is signed in", "sign in with `tanvrit-compute auth login --server URL`, or start one with `tanvrit-compute up`");
        // Through a proxy the name and the port are the proxy's affair.
        if (scene.Proxy is null && await ConnectAsync(server, cancellation) is { } unreachable) return unreachable;
        var began = Stopwatch.GetTimestamp();
        try
        {
            using var answer = await scene.Http.GetAsync(new Uri(server, "/healthz"), cancellation);
            var words = await answer.Content.ReadAsStringAsync(cancellation);
            if (answer.StatusCode == HttpStatusCode.OK && words == Alive)
                return Finding.Ok(Name, $"{Address(server)} answers in {Stopwatch.GetElapsedTime(began).TotalMilliseconds:0} ms{(server.Scheme == "https" ? ", its certificate is trusted" : "")}");
            return Finding.Problem(Name, $"{Address(server)} answers /healthz with {(int)answer.StatusCode} and not as a Tanjiren server", "see whether the address is right, and what proxy or portal answers in its place");
        }
        catch (HttpRequestException e) when (e.InnerException is AuthenticationException refused)
        {
            return Finding.Problem(Name, $"the certificate of {Address(server)} is not trusted: {refused.Message}", "have the server's owner renew it, or have this system trust its authority (SSL_CERT_FILE)");
        }
        catch (HttpRequestException e)
        {
            return Finding.Problem(Name, $"{Address(server)} gives no answer: {e.Message}", scene.Proxy is null ? "see whether the server runs, and what stands between" : "see whether the proxy lets this address through (`doctor`, proxy)");
        }
    }

    private static async Task<Finding?> ConnectAsync(Uri server, CancellationToken cancellation)
    {
        IPAddress[] addresses;
        try
        {
            addresses = IPAddress.TryParse(server.DnsSafeHost, out var literal) ? [literal] : await Dns.GetHostAddressesAsync(server.DnsSafeHost, cancellation);
        }
        catch (SocketException e)
        {
            return Finding.Problem(Name, $"the name {server.DnsSafeHost} is not known here: {e.Message}", "see whether it is spelled right, and whether this machine has DNS");
        }
        try
        {
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(addresses, server.Port, cancellation);
            return null;
        }
        catch (SocketException e)
        {
            return Finding.Problem(Name, $"port {server.Port} of {server.DnsSafeHost} takes no connection: {e.Message}", "see whether the server runs and listens there, and whether a firewall stands between");
        }
        catch (OperationCanceledException)
        {
            return Finding.Problem(Name, $"port {server.Port} of {server.DnsSafeHost} does not answer", "a firewall that swallows connections looks so; or the machine is off");
        }
    }

    private static string Address(Uri server) => server.GetLeftPart(UriPartial.Authority);
}
