using System.Runtime.ExceptionServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Tanjiren.Agent.Keys;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Agent;

/// <summary>The agent's directory: what lies where, private to its user.</summary>
internal sealed partial class AgentHome
{
    private const UnixFileMode PrivateDirectory = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private readonly Lock changingIdentity = new();

    public AgentHome(string path)
    {
        Directory = Path.GetFullPath(path);
        MakePrivate(Directory);
        MakePrivate(Outbox);
    }

    public string Directory { get; }
    public string Outbox => Path.Combine(Directory, "outbox");
    public string Journal => Path.Combine(Directory, "journal");
    public string Key => Path.Combine(Directory, "key.pem");

    /// <summary>The key of a new pairing, until that has succeeded.</summary>
    public string NextKey => Key + ".next";

    /// <summary>The new key of a rotation, until an admin has approved it and it is in place (<see cref="SuccessorKey"/>).</summary>
    public string RotationKey => Key + ".rotation";

    /// <summary>The new key of a recovery, until an admin has approved it.</summary>
    public string RecoveryKey => Key + ".recovery";
    public string Identity => Path.Combine(Directory, "identity.json");
    public string Status => Path.Combine(Directory, "status.json");

    /// <summary>
    /// The operating system's lock on this home, or null when another process has it. Without it two agents would write one journal and run
    /// one lease twice. The system drops it with the process, so it cannot be left behind.
    /// </summary>
    public FileStream? TryLock()
    {
        try
        {
            return new FileStream(Path.Combine(Directory, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>
    /// Puts the key that the identity names into its place. The identity is written first and names it, so a crash in between is finished by the next
    /// start; a key that nothing names yet is left for the next try of its pairing, rotation or recovery. One that can't be read stops nobody whose own key is sound.
    /// </summary>
    /// <exception cref="InvalidDataException">One is no key, or others may read it, and the key that the identity names is nowhere else.</exception>
    public void FinishPairing(ILogger? log = null)
    {
        string[] waiting = [NextKey, RotationKey, RecoveryKey];
        if (!waiting.Any(File.Exists) || AgentIdentity.Load(Directory) is not { } identity) return;
        Exception? unreadable = null;
        foreach (var path in waiting)
        {
            try
            {
                if (!Holds(path, identity.KeyFingerprint)) continue;
            }
            catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                unreadable ??= e;
                if (log is not null) LogLeftAside(log, path, e.Message);
                continue;
            }
            File.Move(path, Key, overwrite: true);
            DurableFiles.SyncDirectory(Directory);
        }
        // It may be the very key that is named.
        if (unreadable is not null && !Holds(Key, identity.KeyFingerprint)) ExceptionDispatchInfo.Throw(unreadable);
    }

    private static bool Holds(string path, string fingerprint)
    {
        using var key = new FileKeyStore(path).Load();
        return key is not null && Jwk.FromKey(key).Thumbprint() == fingerprint;
    }

    /// <summary>Changes a part of the identity: two loops may do that at once, and one would undo the other. Nothing when there is none.</summary>
    public void ChangeIdentity(Func<AgentIdentity, AgentIdentity> change)
    {
        lock (changingIdentity)
        {
            if (AgentIdentity.Load(Directory) is not { } identity) return;
            var changed = change(identity);
            if (changed != identity) Replace(Identity, changed, AgentJson.Default.AgentIdentity, durable: true);
        }
    }

    /// <summary>Replaces a small private file so that a crash leaves the old or the new one, never half.</summary>
    public static void Replace<T>(string path, T content, JsonTypeInfo<T> type, bool durable)
    {
        var fresh = path + ".new";
        using (var file = CreatePrivate(fresh))
        {
            JsonSerializer.Serialize(file, content, type);
            file.Flush(flushToDisk: durable);
        }
        File.Move(fresh, path, overwrite: true);
        if (durable) DurableFiles.SyncDirectory(Path.GetDirectoryName(path)!);
    }

    public static T? Read<T>(string path, JsonTypeInfo<T> type) where T : class
    {
        try
        {
            using var file = File.OpenRead(path);
            return JsonSerializer.Deserialize(file, type);
        }
        catch (FileNotFoundException)
        {
            return null;
        }
        catch (DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <summary>A new file that only its owner may read: the mode is set at creation, so there is no moment at which others can.</summary>
    public static FileStream CreatePrivate(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.ReadWrite, Share = FileShare.Read };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return new FileStream(path, options);
    }

    private static void MakePrivate(string path)
    {
        if (OperatingSystem.IsWindows()) System.IO.Directory.CreateDirectory(path);
        else System.IO.Directory.CreateDirectory(path, PrivateDirectory);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The key that waits in '{Path}' is left aside: {Reason}")]
    private static partial void LogLeftAside(ILogger log, string path, string reason);
}
