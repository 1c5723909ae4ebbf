using System.Diagnostics.CodeAnalysis;

namespace Tanjiren.Cli.Settings;

/// <summary>Where a client command goes and as whom.</summary>
internal sealed record ServerAccess
{
    public required string Workspace { get; init; }
    public required Uri Url { get; init; }
    /// <summary>Empty before signing in with a password.</summary>
    public required string Token { get; init; }
    /// <summary>The token is of a stored sign-in that can be refreshed.</summary>
    public bool Renewable { get; init; }

    public override string ToString() => $"{Workspace} at {Url}";
}

/// <summary>The flags that every client command takes.</summary>
internal readonly record struct ServerFlags(string? Workspace, string? Server, bool InsecureHttp);

/// <summary>
/// Flags over environment over file over defaults. A stored token goes only to the server it was stored for: <c>--server</c> with another
/// address needs TANVRIT_TOKEN or a workspace signed in there, else a mistyped address would collect the token.
/// </summary>
internal static class ServerAccessRules
{
    public const string DefaultWorkspace = "local";
    public const string DefaultServer = "http://127.0.0.1:7433";

    /// <param name="flags">As typed.</param>
    /// <param name="variable">The environment.</param>
    /// <param name="credentials">Who is signed in where.</param>
    /// <param name="whole">Gets the tokens of the one sign-in that is used, when they lie elsewhere; absent: they are in <paramref name="credentials"/>.</param>
    public static ServerAccess Resolve(ServerFlags flags, Func<string, string?> variable, Credentials credentials, Func<string, WorkspaceCredential, WorkspaceCredential>? whole = null)
    {
        var named = NonEmpty(flags.Workspace) ?? NonEmpty(variable("TANVRIT_WORKSPACE"));
        var server = NonEmpty(flags.Server) ?? NonEmpty(variable("TANVRIT_SERVER"));
        var token = NonEmpty(variable("TANVRIT_TOKEN"));

        var (workspace, stored) = Find(named, server, credentials);
        if (stored is null && named is not null && token is null)
            throw new CliException($"no workspace '{named}' is signed in", Known(credentials));
        if (stored is null && token is null)
            throw new CliException(
                server is null ? "not signed in" : $"not signed in at {server}",
                "run `tanvrit-compute up` for a control plane on this machine, or sign in with `tanvrit-compute auth login --server URL`");

        var url = ParseUrl(server ?? stored?.Url ?? DefaultServer);
        RefuseInsecure(url, flags.InsecureHttp || stored is { InsecureHttp: true });
        if (token is not null) return new ServerAccess { Workspace = workspace, Url = url, Token = token };
        var used = whole is null ? stored! : whole(workspace, stored!);
        return new ServerAccess { Workspace = workspace, Url = url, Token = used.Token, Renewable = used.RefreshToken is not null };
    }

    /// <summary>The same, but nobody signed in is an answer rather than an error.</summary>
    public static bool TryResolve(ServerFlags flags, Func<string, string?> variable, Credentials credentials, [NotNullWhen(true)] out ServerAccess? access,
        Func<string, WorkspaceCredential, WorkspaceCredential>? whole = null)
    {
        var named = NonEmpty(flags.Workspace) ?? NonEmpty(variable("TANVRIT_WORKSPACE"));
        var server = NonEmpty(flags.Server) ?? NonEmpty(variable("TANVRIT_SERVER"));
        access = Find(named, server, credentials).Stored is null && NonEmpty(variable("TANVRIT_TOKEN")) is null ? null : Resolve(flags, variable, credentials, whole);
        return access is not null;
    }

    /// <summary>An absolute http or https address without path, query and user.</summary>
    public static Uri ParseUrl(string text)
    {
        if (!Uri.TryCreate(text, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https")
            || url.UserInfo.Length > 0 || url.Query.Length > 0 || url.Fragment.Length > 0 || url.AbsolutePath != "/")
            throw new CliException($"'{text}' is not the address of a server", "give scheme, host and port only, for example https://tanjiren.example.org");
        return url;
    }

    /// <summary>Over plain http a token can be read on the way; on loopback there is no way to read it on.</summary>
    public static void RefuseInsecure(Uri url, bool allowed)
    {
        if (url.Scheme == "http" && !url.IsLoopback && !allowed)
            throw new CliException($"{Text(url)} would carry the token unencrypted", "use https, or add --insecure-http if you accept that");
    }

    public static string Text(Uri url) => url.GetLeftPart(UriPartial.Authority);

    private static (string Workspace, WorkspaceCredential? Stored) Find(string? named, string? server, Credentials credentials)
    {
        var name = named ?? credentials.Current ?? DefaultWorkspace;
        var stored = credentials.Workspaces.GetValueOrDefault(name);
        if (server is null || (stored is not null && SameServer(stored.Url, server))) return (name, stored);
        if (named is not null) return (named, null);
        var match = credentials.Workspaces.FirstOrDefault(w => SameServer(w.Value.Url, server));
        return match.Value is null ? (WorkspaceName.From(new Uri(server, UriKind.RelativeOrAbsolute) is { IsAbsoluteUri: true } url ? url.Authority : server), null)
            : (match.Key, match.Value);
    }

    public static bool SameServer(string left, string right) =>
        Uri.TryCreate(left, UriKind.Absolute, out var a) && Uri.TryCreate(right, UriKind.Absolute, out var b)
        && Uri.Compare(a, b, UriComponents.SchemeAndServer, UriFormat.Unescaped, StringComparison.OrdinalIgnoreCase) == 0;

    private static string Known(Credentials credentials) => credentials.Workspaces.Count == 0
        ? "sign in with `tanvrit-compute auth login --server URL`"
        : $"signed in are: {string.Join(", ", credentials.Workspaces.Keys.Order())}";

    private static string? NonEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
