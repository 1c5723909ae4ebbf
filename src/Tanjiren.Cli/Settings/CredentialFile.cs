using System.Text.Json;
using System.Text.Json.Serialization;

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

internal sealed record WorkspaceCredential
{
    public required string Url { get; init; }
    public required string Token { get; init; }
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

    public override string ToString() => $"{Url} ({Organization})";
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(Credentials))]
internal sealed partial class SettingsJson : JsonSerializerContext;

/// <summary>
/// Reads and replaces <c>credentials.json</c>. It holds secrets, so it is 0600 from its first byte on; a replacement is written beside it and
/// renamed over it, so that a reader or a crash never sees half a file. Who changes what another process may be changing too takes the lock first.
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

    /// <summary>Changes what is in the file at this moment.</summary>
    public async Task<Credentials> UpdateAsync(Func<Credentials, Credentials> change, ClientTimeouts timeouts, TimeProvider clock, CancellationToken cancellation)
    {
        using var held = await LockAsync(timeouts, clock, cancellation);
        var changed = change(Read());
        Write(changed);
        return changed;
    }

    /// <summary>Keeps other processes from changing the file until the result is disposed; the operating system lets go of it when this process dies.</summary>
    public async Task<IDisposable> LockAsync(ClientTimeouts timeouts, TimeProvider clock, CancellationToken cancellation)
    {
        TanvritHome.MakePrivateDirectory(home.Path);
        var began = clock.GetTimestamp();
        while (true)
        {
            try
            {
                return new FileStream(home.CredentialsLock, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException e) when (e is not (FileNotFoundException or DirectoryNotFoundException))
            {
                if (clock.GetElapsedTime(began) > timeouts.CredentialsLock)
                    throw new CliException($"another process has held {home.CredentialsLock} for {timeouts.CredentialsLock.TotalSeconds:0} s", "see which tanvrit-compute hangs, and end it", e);
            }
            await Task.Delay(TimeSpan.FromMilliseconds(20), clock, cancellation);
        }
    }
}
