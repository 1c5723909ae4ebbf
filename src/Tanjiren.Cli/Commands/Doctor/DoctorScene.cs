using System.Security.Cryptography;
using System.Text.Json;

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

    /// <summary>Null: not paired, or <see cref="IdentityTrouble"/>.</summary>
    public AgentIdentity? Identity { get; init; }

    /// <summary>Why it can't be read; null: it can, or there is none.</summary>
    public string? IdentityTrouble { get; init; }

    /// <summary>As the agent that runs has written it; null: none runs.</summary>
    public AgentStatus? Status { get; init; }

    /// <summary>That the agent is bound to, else the one that somebody is signed in to; null: neither.</summary>
    public Uri? Server { get; init; }

    /// <summary>The flags that say which server.</summary>
    public required ServerFlags Flags { get; init; }

    /// <summary>The stored sign-in, without a token that lies in the keychain; null: nobody is signed in, or <see cref="AccessTrouble"/>.</summary>
    public ServerAccess? Access { get; init; }

    /// <summary>Why it can't be read; null: it can, or there is none.</summary>
    public CliException? AccessTrouble { get; init; }

    /// <summary>What the agent asks the server through: the proxy of the environment, unless the server is this machine.</summary>
    public Uri? Proxy => Server is null || ServerAddress.IsLoopback(Server) || HttpClient.DefaultProxy.IsBypassed(Server) ? null : HttpClient.DefaultProxy.GetProxy(Server);

    /// <summary>By the same way, without a credential.</summary>
    public required HttpClient Http { get; init; }

    /// <summary>The machine's private key, or null when there is none.</summary>
    /// <exception cref="InvalidDataException">It is no key, or others may read it.</exception>
    /// <exception cref="KeychainException">It lies in the keychain, which does not give it out.</exception>
    public ECDsa? LoadKey()
    {
        var home = new AgentHome(Home, Cli.Keychain);
        return home.KeyStore(home.Key).Load();
    }

    public static DoctorScene Of(CliContext cli, string home, ServerFlags flags)
    {
        var (identity, identityTrouble) = Read(() => AgentIdentity.Load(home));
        var (status, _) = Read(() => AgentStatus.IsRunning(home) ? AgentStatus.Load(home) : null);
        var (access, accessTrouble) = ReadAccess(cli, flags);
        var server = (flags.Server ?? identity?.ServerUrl) is { } named ? ServerAccessRules.ParseUrl(named) : access?.Url;
        return new DoctorScene
        {
            Cli = cli,
            Flags = flags,
            Home = home,
            Identity = identity,
            IdentityTrouble = identityTrouble,
            Status = status,
            Server = server,
            Access = access,
            AccessTrouble = accessTrouble,
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

    /// <summary>The workspace that is signed in to, as far as the file can be read: what is wrong with it is for the sign-in's check to say.</summary>
    public static string? CurrentWorkspace(CliContext cli)
    {
        try
        {
            return new CredentialFile(cli.Home).Read().Current;
        }
        catch (CliException)
        {
            return null;
        }
    }

    public void Dispose() => Http.Dispose();

    private static (ServerAccess? Access, CliException? Trouble) ReadAccess(CliContext cli, ServerFlags flags)
    {
        try
        {
            // Where it leads, and not its token: a keychain may take its time, and each check has its own.
            ServerAccessRules.TryResolve(flags, cli.Variable, cli.Credentials.Read(), out var access);
            return (access, null);
        }
        catch (CliException e)
        {
            return (null, e);
        }
    }

    /// <summary>A damaged file is a finding, and keeps no other check from its answer.</summary>
    private static (T? Content, string? Trouble) Read<T>(Func<T?> read) where T : class
    {
        try
        {
            return (read(), null);
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            return (null, e.Message);
        }
    }
}
