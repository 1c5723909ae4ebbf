using System.Text.Json;

namespace Tanjiren.Cli.Settings;

/// <summary>
/// Reads and replaces <c>credentials.json</c>. It holds secrets, so it is 0600 from its first byte on; a replacement is written beside it and
/// renamed over it, so that a reader or a crash never sees half a file. Who changes what another process may be changing too takes the lock first. Commands go by
/// <see cref="CredentialStore"/>, which knows of the keychain as well.
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
                var forFile = credentials with { Workspaces = credentials.Workspaces.ToDictionary(w => w.Key, w => w.Value.ForFile()) };
                JsonSerializer.Serialize(file, forFile, SettingsJson.Default.Credentials);
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

    /// <summary>Keeps other processes from changing the file, and the keychain entries that it names, until the result is disposed; the operating system lets go of it when this process dies.</summary>
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
