using System.Text;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Outbox;

namespace Tanjiren.Agent.Keys;

/// <summary>
/// The keychain entries that belong to one directory. What counts is a file there that names an entry; beside it each entry has a mark, a small file under <c>entries/</c>, from before the entry is
/// made until after it is deleted. So a crash at any moment leaves nothing in the keychain that nobody knows of: <see cref="Sweep"/> deletes what has a mark and is named no more.
/// <para>A mark says whose it is, by the machine id of the directory. A copy of the directory brings the marks along and must not delete what the original lives by.</para>
/// </summary>
internal sealed class KeychainEntries(string home, Keychain keychain)
{
    public Keychain Keychain { get; } = keychain;

    /// <summary>Whether there may be entries.</summary>
    public bool Any => Directory.Exists(Marks);

    private string Marks => Path.Combine(home, "entries");

    /// <summary>
    /// Keeps a secret in the keychain; false when it belongs into a file. The caller holds the lock of the directory until a file names the entry: a sweep in between would delete it.
    /// </summary>
    public bool TryKeep(string name, byte[] secret)
    {
        if (!Keychain.Takes()) return false;
        Mark(name);
        // When not, it may still be kept, late: the mark stays, and the next sweep looks.
        return Keychain.TryKeep(name, secret);
    }

    /// <exception cref="KeychainException">It may still be there.</exception>
    public void Delete(string name)
    {
        Keychain.Delete(name);
        if (Any) File.Delete(Path.Combine(Marks, name));
    }

    /// <summary>
    /// Deletes the entries that <paramref name="named"/> does not hold. The caller holds the lock of the directory. What can't be deleted now keeps its mark for the next time.
    /// </summary>
    /// <returns>Null, or why something is left.</returns>
    public string? Sweep(IReadOnlySet<string> named)
    {
        if (!Any) return null;
        foreach (var mark in Directory.GetFiles(Marks))
        {
            var name = Path.GetFileName(mark);
            if (named.Contains(name)) continue;
            try
            {
                if (File.ReadAllText(mark) == Owner()) Keychain.Delete(name);
            }
            catch (KeychainException e)
            {
                return e.Message;
            }
            File.Delete(mark);
        }
        return null;
    }

    private void Mark(string name)
    {
        AgentHome.MakePrivate(Marks);
        using (var file = AgentHome.CreatePrivate(Path.Combine(Marks, name)))
        {
            file.Write(Encoding.ASCII.GetBytes(Owner()));
            file.Flush(flushToDisk: true);
        }
        DurableFiles.SyncDirectory(Marks);
        DurableFiles.SyncDirectory(home);
    }

    private string Owner() => MachineIdentity.MachineId(home);
}
