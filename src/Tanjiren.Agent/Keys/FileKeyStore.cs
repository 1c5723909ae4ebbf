using System.Security.Cryptography;
using System.Text;
using Tanjiren.Agent.Outbox;

namespace Tanjiren.Agent.Keys;

/// <summary>The key as PKCS#8 PEM in a file that only its owner may read (0600).</summary>
internal sealed class FileKeyStore(string path) : IKeyStore
{
    public ECDsa? Load()
    {
        string text;
        try
        {
            // Not File.Exists, which says no as well when it can't look: a key that can't be read now must not pass for one that is gone.
            if (!OperatingSystem.IsWindows()) RefuseSharedFile();
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        var key = ECDsa.Create();
        try
        {
            key.ImportFromPem(text);
        }
        catch (Exception e) when (e is ArgumentException or CryptographicException)
        {
            key.Dispose();
            throw new InvalidDataException($"The private key in '{path}' cannot be read; restore it, or recover it with 'agent recover'.", e);
        }
        return key;
    }

    public ECDsa Create()
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var fresh = path + ".new";
        using (var file = AgentHome.CreatePrivate(fresh))
        {
            file.Write(Encoding.ASCII.GetBytes(key.ExportPkcs8PrivateKeyPem()));
            file.Flush(flushToDisk: true);
        }
        File.Move(fresh, path, overwrite: false);
        DurableFiles.SyncDirectory(Path.GetDirectoryName(path)!);
        return key;
    }

    private void RefuseSharedFile()
    {
        if (OperatingSystem.IsWindows()) return;
        const UnixFileMode others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;
        if ((File.GetUnixFileMode(path) & others) != UnixFileMode.None)
            throw new InvalidDataException($"Others may read the private key in '{path}'; run 'chmod 600' on it, and replace it with 'agent rotate-key' if someone did.");
    }
}
