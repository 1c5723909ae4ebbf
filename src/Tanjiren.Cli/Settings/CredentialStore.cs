using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

using Tanjiren.Agent.Keys;

namespace Tanjiren.Cli.Settings;

/// <summary>
/// The sign-ins of one home. <c>credentials.json</c> says which workspaces there are; the tokens of each lie in an entry of the keychain, or in the file where no keychain takes them. One lock, that of
/// the file, covers both: the processes of a home refresh and sign out one after another, wherever the tokens lie.
/// </summary>
internal sealed class CredentialStore(CliContext cli)
{
    private readonly CredentialFile file = new(cli.Home);
    private readonly KeychainEntries entries = new(cli.Home.Path, cli.Keychain);

    /// <summary>Who is signed in where; without the secrets that lie in the keychain, which is not asked.</summary>
    public Credentials Read() => file.Read();

    public Task<IDisposable> LockAsync(CancellationToken cancellation) => file.LockAsync(cli.Timeouts, cli.Clock, cancellation);

    /// <summary>Where a command goes and as whom. The keychain is asked for the one sign-in that counts, and not when the environment has a token.</summary>
    public ServerAccess Resolve(ServerFlags flags, Func<string, string?> variable) => ServerAccessRules.Resolve(flags, variable, Read(), Whole);

    /// <summary>The same, but nobody signed in is an answer rather than an error.</summary>
    public bool TryResolve(ServerFlags flags, Func<string, string?> variable, [NotNullWhen(true)] out ServerAccess? access) =>
        ServerAccessRules.TryResolve(flags, variable, Read(), out access, Whole);

    /// <summary>With its tokens.</summary>
    /// <exception cref="SignInEndedException">Somebody has deleted them from the keychain.</exception>
    /// <exception cref="KeychainException">They are not given out now.</exception>
    public WorkspaceCredential Whole(string workspace, WorkspaceCredential credential)
    {
        if (credential.Entry is not { } entry) return credential;
        if (cli.Keychain.Read(entry) is not { } secret)
            throw new SignInEndedException($"the sign-in of workspace '{workspace}' is no longer in {cli.Keychain.Title}", $"sign in again with `tanvrit-compute auth login --server {credential.Url}`");
        try
        {
            return credential.With(JsonSerializer.Deserialize(secret, SettingsJson.Default.SignInSecret)!);
        }
        catch (JsonException e)
        {
            throw new SignInEndedException($"the entry '{entry}' in {cli.Keychain.Title} is not the sign-in of workspace '{workspace}'", $"sign in again with `tanvrit-compute auth login --server {credential.Url}`", e);
        }
    }

    /// <summary>Before anybody makes a sign-in: one that can't be kept afterwards would go on at the server, known to nobody.</summary>
    /// <exception cref="KeychainException">It must lie in the keychain, and none answers.</exception>
    public void MustBeAbleToKeep() => cli.Keychain.Takes();

    /// <summary>Keeps a new sign-in and makes its workspace the current one. Answers what was kept under that name before, with its tokens if they can be had.</summary>
    public async Task<WorkspaceCredential?> KeepAsync(string workspace, WorkspaceCredential credential, CancellationToken cancellation)
    {
        using var held = await LockAsync(cancellation);
        var before = file.Read();
        var replaced = before.Workspaces.GetValueOrDefault(workspace) is { } kept ? WholeIfPossible(workspace, kept) : null;
        Write(before.With(workspace, Placed(credential)));
        return replaced;
    }

    /// <summary>
    /// Puts the next pair of tokens in the place of the last. Held: the lock. One that the keychain does not keep is not put into a file instead: it gave out the last pair a moment ago, and within the
    /// server's leeway the same refresh can be repeated.
    /// </summary>
    public void RenewLocked(string workspace, WorkspaceCredential renewed)
    {
        if (renewed.Entry is { } entry) cli.Keychain.Write(entry, Bytes(renewed));
        else file.Write(file.Read().Replace(workspace, renewed));
    }

    /// <summary>Held: the lock. The secrets go first: a file that names an entry which is gone is a sign-in that has ended, and an entry that no file names would be one that nobody knows of.</summary>
    public Credentials ForgetLocked(string workspace)
    {
        var before = file.Read();
        if (before.Workspaces.GetValueOrDefault(workspace)?.Entry is { } entry) entries.Delete(entry);
        var rest = before.Without(workspace);
        Write(rest);
        return rest;
    }

    /// <summary>
    /// Moves sign-ins that lie in the file into the keychain, where that takes them: read back there before the file is written without them. And deletes there what an earlier command could not.
    /// </summary>
    public async Task MoveInAsync(CancellationToken cancellation)
    {
        var moves = file.Read().Workspaces.Values.Any(InFile) && cli.Keychain.Takes();
        if (!moves && !entries.Any) return;
        using var held = await LockAsync(cancellation);
        var before = file.Read();
        if (moves) Write(before with { Workspaces = before.Workspaces.ToDictionary(w => w.Key, w => InFile(w.Value) ? Placed(w.Value) : w.Value) });
        else SweepLocked(before);
    }

    private WorkspaceCredential WholeIfPossible(string workspace, WorkspaceCredential credential)
    {
        try
        {
            return Whole(workspace, credential);
        }
        catch (Exception e) when (e is KeychainException or SignInEndedException)
        {
            return credential;
        }
    }

    private static bool InFile(WorkspaceCredential credential) => credential.Entry is null && credential.Token.Length > 0;

    /// <summary>In an entry of its own, so that nothing that is still good is written over.</summary>
    private WorkspaceCredential Placed(WorkspaceCredential credential)
    {
        var entry = "sign-in." + Guid.NewGuid().ToString("N");
        return credential with { Entry = entries.TryKeep(entry, Bytes(credential)) ? entry : null };
    }

    /// <summary>Held: the lock. Afterwards the keychain holds what the file names and no more; what it does not delete now it is asked to by the next command that writes.</summary>
    private void Write(Credentials credentials)
    {
        file.Write(credentials);
        SweepLocked(credentials);
    }

    private void SweepLocked(Credentials credentials) => entries.Sweep(credentials.Workspaces.Values.Select(w => w.Entry).OfType<string>().ToHashSet());

    private static byte[] Bytes(WorkspaceCredential credential) => JsonSerializer.SerializeToUtf8Bytes(credential.ToSecret(), SettingsJson.Default.SignInSecret);
}
