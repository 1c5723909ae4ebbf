using System.Security.Cryptography;

using Tanjiren.Agent;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Keys;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>What the checks look at. Nothing here changes anything: a doctor may be asked while the agent runs.</summary>
internal sealed class DoctorScene : IDisposable
{
    public required CliContext Cli { get; init; }

    /// <summary>Of the agent; it need not be there.</summary>
    public required string Home { get; init; }

    /// <summary>Null: not paired.</summary>
    public AgentIdentity? Identity { get; init; }

    /// <summary>As the agent that runs has written it; null: none runs.</summary>
    public AgentStatus? Status { get; init; }

    /// <summary>That the agent is bound to, else the one that somebody is signed in to; null: neither.</summary>
    public Uri? Server { get; init; }

    /// <summary>The stored sign-in; null: nobody is signed in.</summary>
    public ServerAccess? Access { get; init; }

    /// <summary>What the agent asks the server through: the proxy of the environment, unless the server is this machine.</summary>
    public Uri? Proxy => Server is null || ServerAddress.IsLoopback(Server) || HttpClient.DefaultProxy.IsBypassed(Server) ? null : HttpClient.DefaultProxy.GetProxy(Server);

    /// <summary>By the same way, without a credential.</summary>
    public required HttpClient Http { get; init; }

    /// <summary>The machine's private key, or null when there is none.</summary>
    /// <exception cref="InvalidDataException">It is no key, or others may read it.</exception>
    public ECDsa? LoadKey() => new FileKeyStore(new AgentHome(Home).Key).Load();

    public static DoctorScene Of(CliContext cli, string home, ServerFlags flags)
    {
        var identity = AgentIdentity.Load(home);
        ServerAccessRules.TryResolve(flags, cli.Variable, new CredentialFile(cli.Home).Read(), out var access);
        var server = (flags.Server ?? identity?.ServerUrl) is { } named ? ServerAccessRules.ParseUrl(named) : access?.Url;
        return new DoctorScene
        {
            Cli = cli,
            Home = home,
            Identity = identity,
            Status = AgentStatus.IsRunning(home) ? AgentStatus.Load(home) : null,
            Server = server,
            Access = access,
            Http = new HttpClient(new SocketsHttpHandler
            {
                AllowAutoRedirect = false,
                UseCookies = false,
                UseProxy = server is not null && !ServerAddress.IsLoopback(server),
                ActivityHeadersPropagator = null,
            })
            {
                Timeout = Timeout.InfiniteTimeSpan,
            },
        };
    }

    public void Dispose() => Http.Dispose();
}
