using System.Runtime.ExceptionServices;
using System.Security.Cryptography;
using Tanjiren.Agent.Keys;
using Tanjiren.Agent.Outbox;

namespace Tanjiren.Agent;

/// <summary>The keys of a home: made, put into their place, moved into the keychain, deleted; each so that a crash in the middle is finished by the next start.</summary>
internal sealed partial class AgentHome
{
    private string[] Waiting => [NextKey, RotationKey, RecoveryKey];

    /// <summary>The key whose file this is, wherever it lies.</summary>
    public FileKeyStore KeyStore(string path) => new(path, entries);

    /// <summary>Makes the key of this file.</summary>
    /// <exception cref="IOException">Another process is just making one, or it can't be kept.</exception>
    public ECDsa CreateKey(string path)
    {
        using var held = entries.Keychain.Takes()
            ? TryLockKeys() ?? throw new IOException($"Another command is just working on the keys of '{Directory}'; run this one again.")
            : null;
        return KeyStore(path).Create();
    }

    /// <summary>The file goes first: from then on there is no key, whatever becomes of its entry.</summary>
    public void DeleteKey(string path)
    {
        File.Delete(path);
        DurableFiles.SyncDirectory(Directory);
        SweepKeys();
    }

    /// <summary>
    /// Puts the key that the identity names into its place. The identity is written first and names it, so a crash in between is finished by the next
    /// start; a key that nothing names yet is left for the next try of its pairing, rotation or recovery. One that can't be read stops nobody whose own key is sound.
    /// </summary>
    /// <exception cref="InvalidDataException">One is no key, or others may read it, and the key that the identity names is nowhere else.</exception>
    public void FinishPairing(ILogger? log = null)
    {
        if (!Waiting.Any(File.Exists) || AgentIdentity.Load(Directory) is not { } identity) return;
        Exception? unreadable = null;
        var moved = false;
        foreach (var path in Waiting)
        {
            try
            {
                if (KeyStore(path).Fingerprint() != identity.KeyFingerprint) continue;
            }
            catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                unreadable ??= e;
                if (log is not null) LogLeftAside(log, path, e.Message);
                continue;
            }
            File.Move(path, Key, overwrite: true);
            DurableFiles.SyncDirectory(Directory);
            moved = true;
        }
        // It may be the very key that is named.
        if (unreadable is not null && KeyStore(Key).Fingerprint() != identity.KeyFingerprint) ExceptionDispatchInfo.Throw(unreadable);
        if (moved) SweepKeys(log);
    }

    /// <summary>Moves keys that lie in files into the keychain, where that takes them.</summary>
    /// <exception cref="KeychainException">They must lie there, and no keychain answers.</exception>
    public void MoveKeysIn(ILogger log)
    {
        string[] inFiles = [.. Waiting.Prepend(Key).Where(path => File.Exists(path) && IsSound(path) && KeyStore(path).Entry() is null)];
        if (inFiles.Length == 0 || !entries.Keychain.Takes()) return;
        using var held = TryLockKeys();
        if (held is null) return; // the next start will do
        foreach (var path in inFiles)
        {
            try
            {
                KeyStore(path).MoveIn();
                if (KeyStore(path).Entry() is not null) LogMovedIn(log, path, entries.Keychain.Title);
            }
            catch (Exception e) when (entries.Keychain.Use == KeychainUse.Auto && (e is IOException or UnauthorizedAccessException))
            {
                LogNotMovedIn(log, path, e.Message); // it is in its file, and good
            }
        }
    }

    /// <summary>Deletes what the keychain holds for this home and no file names any more: a key that was replaced or given up, or one that a crash kept from its file.</summary>
    public void SweepKeys(ILogger? log = null)
    {
        if (!entries.Any) return;
        using var held = TryLockKeys();
        if (held is null) return; // who makes a key has entries that no file names yet
        try
        {
            var named = Waiting.Prepend(Key).Select(path => KeyStore(path).Entry()).OfType<string>().ToHashSet();
            if (entries.Sweep(named) is { } left && log is not null) LogNotSwept(log, left);
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            // A file that can't be read may name any of them.
            if (log is not null) LogNotSwept(log, e.Message);
        }
    }

    private bool IsSound(string path)
    {
        try
        {
            return KeyStore(path).Fingerprint() is not null;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return false; // whoever needs it says so
        }
    }

    private FileStream? TryLockKeys() => TryLock("keys.lock");

    [LoggerMessage(Level = LogLevel.Warning, Message = "The key that waits in '{Path}' is left aside: {Reason}")]
    private static partial void LogLeftAside(ILogger log, string path, string reason);

    [LoggerMessage(Level = LogLevel.Information, Message = "The key of '{Path}' lies in {Keychain} from now on")]
    private static partial void LogMovedIn(ILogger log, string path, string keychain);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The key of '{Path}' can't be moved into the keychain, and stays where it is: {Reason}")]
    private static partial void LogNotMovedIn(ILogger log, string path, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The keychain still holds a key that nothing uses any more; the next start deletes it: {Reason}")]
    private static partial void LogNotSwept(ILogger log, string reason);
}
