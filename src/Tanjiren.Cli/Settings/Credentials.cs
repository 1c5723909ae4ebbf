using System.Text.Json;
using System.Text.Json.Serialization;

using Tanjiren.Cli.Hosting;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Settings;

/// <summary>The content of <c>credentials.json</c>.</summary>
internal sealed record Credentials
{
    /// <summary>The workspace that commands use when none is named.</summary>
    public string? Current { get; init; }
    public IReadOnlyDictionary<string, WorkspaceCredential> Workspaces { get; init; } = new Dictionary<string, WorkspaceCredential>();

    public Credentials With(string workspace, WorkspaceCredential credential) => new()
    {
        Current = workspace,
        Workspaces = new Dictionary<string, WorkspaceCredential>(Workspaces) { [workspace] = credential },
    };

    /// <summary>Another credential for a workspace that stays what it is.</summary>
    public Credentials Replace(string workspace, WorkspaceCredential credential) => With(workspace, credential) with { Current = Current };

    public Credentials Without(string workspace)
    {
        var rest = Workspaces.Where(w => w.Key != workspace).ToDictionary();
        return new Credentials { Current = Current == workspace ? rest.Keys.Order().FirstOrDefault() : Current, Workspaces = rest };
    }
}

/// <summary>Whom a workspace is signed in as. Where the keychain has the tokens, the file has the name of their entry, and everything that is no secret.</summary>
internal sealed record WorkspaceCredential
{
    public required string Url { get; init; }
    /// <summary>Empty as read from the file when <see cref="Entry"/> names where it is.</summary>
    public string Token { get; init; } = "";
    /// <summary>Name of the keychain entry that holds <see cref="Token"/>, <see cref="RefreshToken"/> and <see cref="ExpiresAt"/>. Absent: the file does.</summary>
    [JsonPropertyName("keychain")]
    public string? Entry { get; init; }
    /// <summary>Of a sign-in by OAuth: exchanged for the next pair of tokens; each is good once. Absent: <see cref="Token"/> is a personal access token.</summary>
    public string? RefreshToken { get; init; }
    /// <summary>When <see cref="Token"/> expires, by this machine's clock.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }
    /// <summary>Id of the sign-in (<c>gnt_…</c>), as <c>auth grants</c> lists it.</summary>
    public string? Grant { get; init; }
    /// <summary>Id of the organization that the token acts in.</summary>
    public string? Organization { get; init; }
    /// <summary>The person allowed this token to travel over plain http to another machine.</summary>
    public bool InsecureHttp { get; init; }

    public WorkspaceCredential With(OAuthTokenResponse tokens, DateTimeOffset now) => this with
    {
        Token = tokens.AccessToken,
        RefreshToken = tokens.RefreshToken,
        ExpiresAt = now.AddSeconds(tokens.ExpiresIn),
        Grant = tokens.GrantId,
    };

    /// <summary>What goes into the keychain.</summary>
    public SignInSecret ToSecret() => new() { Token = Token, RefreshToken = RefreshToken, ExpiresAt = ExpiresAt };

    public WorkspaceCredential With(SignInSecret secret) => this with { Token = secret.Token, RefreshToken = secret.RefreshToken, ExpiresAt = secret.ExpiresAt };

    /// <summary>As it stands in the file: without what its entry holds. Null and not empty, so that no empty token stands there.</summary>
    public WorkspaceCredential ForFile() => Entry is null ? this : this with { Token = null!, RefreshToken = null, ExpiresAt = null };

    public override string ToString() => $"{Url} ({Organization})";
}

/// <summary>The content of a keychain entry.</summary>
internal sealed record SignInSecret
{
    public required string Token { get; init; }
    public string? RefreshToken { get; init; }
    public DateTimeOffset? ExpiresAt { get; init; }

    public override string ToString() => "(secret)";
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(Credentials))]
[JsonSerializable(typeof(SignInSecret))]
[JsonSerializable(typeof(AgentSignIn))]
internal sealed partial class SettingsJson : JsonSerializerContext;
