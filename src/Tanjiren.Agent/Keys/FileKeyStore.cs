using System.Security.Cryptography;
using System.Text;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Keys;

/// <summary>
/// One key of a home, in a file that only its owner may read (0600): the key itself as PKCS#8 PEM, or <c>keychain:NAME</c>, the name of its entry in the keychain. The file is what is moved, replaced and
/// deleted in one step, so whatever holds of a crash between two steps holds wherever the key lies. An entry is written once, under the fingerprint of its key, and never replaced.
/// </summary>
internal sealed class FileKeyStore(string path, KeychainEntries? entries = null) : IKeyStore
{
    private const string Scheme = "keychain:";
    private const string Prefix = "agent-key.";

    public ECDsa? Load() => ReadText() is not { } text ? null : NameIn(text) is { } name ? FromKeychain(name) : FromPem(text);

    /// <summary>The key's fingerprint, or null when there is no key. The keychain is not asked: the entry's name says it.</summary>
    /// <exception cref="InvalidDataException">As <see cref="Load"/>.</exception>
    public string? Fingerprint()
    {
        if (ReadText() is not { } text) return null;
        if (NameIn(text) is { } name) return name[Prefix.Length..];
        using var key = FromPem(text);
        return Jwk.FromKey(key).Thumbprint();
    }

    /// <summary>Name of the keychain entry that holds the key; null: the file does, or there is none.</summary>
    public string? Entry() => ReadText() is { } text ? NameIn(text) : null;

    public ECDsa Create()
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        Put(Kept(key) ?? key.ExportPkcs8PrivateKeyPem(), overwrite: false);
        return key;
    }

    /// <summary>
    /// Moves a key that lies in the file into the keychain, where that takes it. Only when it has been read back there the file is replaced, in one step, by the entry's name: at each moment one of the two has it.
    /// </summary>
    public void MoveIn()
    {
        if (ReadText() is not { } text || NameIn(text) is not null) return;
        using var key = FromPem(text);
        if (Kept(key) is { } reference) Put(reference, overwrite: true);
    }

    private string? Kept(ECDsa key)
    {
        var name = Prefix + Jwk.FromKey(key).Thumbprint();
        return entries?.TryKeep(name, key.ExportPkcs8PrivateKey()) == true ? Scheme + name : null;
    }

    private void Put(string text, bool overwrite)
    {
        var fresh = path + ".new";
        using (var file = AgentHome.CreatePrivate(fresh))
        {
            file.Write(Encoding.ASCII.GetBytes(text));
            file.Flush(flushToDisk: true);
        }
        File.Move(fresh, path, overwrite);
        DurableFiles.SyncDirectory(Path.GetDirectoryName(path)!);
    }

    private string? ReadText()
    {
        try
        {
            // Not File.Exists, which says no as well when it can't look: a key that can't be read now must not pass for one that is gone.
            if (!OperatingSystem.IsWindows()) RefuseSharedFile();
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    private static string? NameIn(string text) =>
        text.StartsWith(Scheme + Prefix, StringComparison.Ordinal) ? text[Scheme.Length..].Trim() : null;

    private ECDsa FromPem(string text)
    {
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

    private ECDsa FromKeychain(string name)
    {
        var keychain = entries?.Keychain ?? Keychain.Files;
        if (keychain.Read(name) is not { } secret)
            throw new InvalidDataException($"The private key of '{path}' is no longer in {keychain.Title}: somebody deleted the entry '{name}'. Restore it, or recover the key with 'agent recover'.");
        var key = ECDsa.Create();
        try
        {
            key.ImportPkcs8PrivateKey(secret, out _);
            // Whatever else came to lie under that name: it is not the key that the identity names.
            if (Prefix + Jwk.FromKey(key).Thumbprint() == name) return key;
        }
        catch (CryptographicException e)
        {
            key.Dispose();
            throw Damaged(e);
        }
        key.Dispose();
        throw Damaged(null);

        InvalidDataException Damaged(Exception? inner) =>
            new($"The entry '{name}' in {keychain.Title} is not the private key of '{path}'; restore it, or recover the key with 'agent recover'.", inner);
    }

    private void RefuseSharedFile()
    {
        if (OperatingSystem.IsWindows()) return;
        const UnixFileMode others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;
        if ((File.GetUnixFileMode(path) & others) != UnixFileMode.None)
            throw new InvalidDataException($"Others may read the private key in '{path}'; run 'chmod 600' on it, and replace it with 'agent rotate-key' if someone did.");
    }
}
