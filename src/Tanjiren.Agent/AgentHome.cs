using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Tanjiren.Agent.Keys;
using Tanjiren.Agent.Outbox;

namespace Tanjiren.Agent;

/// <summary>The agent's directory: what lies where, private to its user.</summary>
internal sealed partial class AgentHome
{
    private const UnixFileMode PrivateDirectory = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private readonly Lock changingIdentity = new();
    private readonly KeychainEntries entries;

    /// <param name="path">The directory; made if it is not there.</param>
    /// <param name="keychain">Where its keys lie, and new ones go; absent: in files.</param>
    public AgentHome(string path, Keychain? keychain = null)
    {
        Directory = Path.GetFullPath(path);
        MakePrivate(Directory);
        MakePrivate(Outbox);
        entries = new KeychainEntries(Directory, keychain ?? Keychain.Files);
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
    public FileStream? TryLock() => TryLock("lock");

    private FileStream? TryLock(string name)
    {
        try
        {
            return new FileStream(Path.Combine(Directory, name), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException)
        {
            return null;
        }
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

    /// <summary>A directory that only its owner may enter, unless it is there already.</summary>
    public static void MakePrivate(string path)
    {
        if (OperatingSystem.IsWindows()) System.IO.Directory.CreateDirectory(path);
        else System.IO.Directory.CreateDirectory(path, PrivateDirectory);
    }
}
