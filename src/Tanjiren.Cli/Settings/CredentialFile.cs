using System.Text.Json;
using System.Text.Json.Serialization;

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

    public Credentials Without(string workspace)
    {
        var rest = Workspaces.Where(w => w.Key != workspace).ToDictionary();
        return new Credentials { Current = Current == workspace ? rest.Keys.Order().FirstOrDefault() : Current, Workspaces = rest };
    }
}

internal sealed record WorkspaceCredential
{
    public required string Url { get; init; }
    public required string Token { get; init; }
    /// <summary>Id of the organization that the token acts in.</summary>
    public string? Organization { get; init; }
    /// <summary>The person allowed this token to travel over plain http to another machine.</summary>
    public bool InsecureHttp { get; init; }

    public override string ToString() => $"{Url} ({Organization})";
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(Credentials))]
internal sealed partial class SettingsJson : JsonSerializerContext;

/// <summary>
/// Reads and replaces <c>credentials.json</c>. It holds secrets, so it is 0600 from its first byte on; a replacement is written beside it and
/// renamed over it, so that a reader or a crash never sees half a file.
/// </summary>
internal sealed class CredentialFile(TanvritHome home)
{
    public Credentials Read()
    {
        try
        {
            using var file = File.OpenRead(home.CredentialsFile);
            return JsonSerializer.Deserialize(file, SettingsJson.Default.Credentials) ?? new Credentials();
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return new Credentials();
        }
        catch (JsonException e)
        {
            throw new CliException($"{home.CredentialsFile} is not valid JSON", "repair it, or remove it and sign in again", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new CliException($"{home.CredentialsFile} may not be read by this user", "run as its owner, or set TANVRIT_HOME", e);
        }
    }

    public void Write(Credentials credentials)
    {
        TanvritHome.MakePrivateDirectory(home.Path);
        var draft = $"{home.CredentialsFile}.{Environment.ProcessId}.{Guid.NewGuid():N}";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        try
        {
            using (var file = new FileStream(draft, options))
            {
                JsonSerializer.Serialize(file, credentials, SettingsJson.Default.Credentials);
                file.Flush(flushToDisk: true);
            }
            File.Move(draft, home.CredentialsFile, overwrite: true);
        }
        catch
        {
            File.Delete(draft);
            throw;
        }
    }
}
