using System.IO.Compression;
using System.Security.Cryptography;
using System.Text.Json;

namespace Tanjiren.Server.Backups;

/// <summary>
/// The file of a backup: a zip with <c>manifest.json</c> and <c>database</c>. It holds everything that the server knows, its keys included (but that of secrets, which
/// is not in the database), so only its owner may read it. It appears under its name whole or not at all.
/// </summary>
internal static class BackupArchive
{
    private const string ManifestEntry = "manifest.json";
    private const string DatabaseEntry = "database";
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    /// <summary>Packs a dump; the digest and the size of <paramref name="manifest"/> are filled in.</summary>
    public static async Task<BackupManifest> WriteAsync(string file, string dump, BackupManifest manifest, CancellationToken cancellationToken)
    {
        var unfinished = file + ".unfinished";
        try
        {
            await using (var stream = Create(unfinished))
            {
                await using (var zip = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
                {
                    await using (var source = File.OpenRead(dump))
                    await using (var entry = await zip.CreateEntry(DatabaseEntry, CompressionLevel.Fastest).OpenAsync(cancellationToken))
                        manifest = manifest with { Sha256 = await CopyAsync(source, entry, cancellationToken), Bytes = source.Length };
                    await using var told = await zip.CreateEntry(ManifestEntry).OpenAsync(cancellationToken);
                    await JsonSerializer.SerializeAsync(told, manifest, Json, cancellationToken);
                }
                stream.Flush(flushToDisk: true);
            }
            File.Move(unfinished, file, overwrite: false);
            return manifest;
        }
        finally
        {
            File.Delete(unfinished);
        }
    }

    public static async Task<BackupManifest> ReadManifestAsync(string file, CancellationToken cancellationToken)
    {
        try
        {
            await using var zip = await ZipFile.OpenReadAsync(file, cancellationToken);
            await using var entry = await Entry(zip, ManifestEntry).OpenAsync(cancellationToken);
            return await JsonSerializer.DeserializeAsync<BackupManifest>(entry, Json, cancellationToken) ?? throw NotOurs(file, null);
        }
        catch (Exception e) when (e is InvalidDataException or JsonException)
        {
            throw NotOurs(file, e);
        }
    }

    /// <summary>Unpacks the database, and refuses what is not what was packed.</summary>
    public static async Task ExtractAsync(string file, BackupManifest manifest, string to, CancellationToken cancellationToken)
    {
        try
        {
            await using var zip = await ZipFile.OpenReadAsync(file, cancellationToken);
            await using var entry = await Entry(zip, DatabaseEntry).OpenAsync(cancellationToken);
            await using var target = Create(to);
            if (await CopyAsync(entry, target, cancellationToken) != manifest.Sha256) throw Damaged(file, null);
        }
        catch (InvalidDataException e)
        {
            throw Damaged(file, e);
        }
    }

    private static ZipArchiveEntry Entry(ZipArchive zip, string name) => zip.GetEntry(name) ?? throw new InvalidDataException($"There is no {name} in it.");

    private static FileStream Create(string path)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return new FileStream(path, options);
    }

    private static async Task<string> CopyAsync(Stream from, Stream to, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[128 * 1024];
        for (int read; (read = await from.ReadAsync(buffer, cancellationToken)) > 0;)
        {
            hash.AppendData(buffer, 0, read);
            await to.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static BackupException NotOurs(string file, Exception? inner) => new($"'{file}' is not a backup of this program", "name the file that `server backup` made", inner);

    private static BackupException Damaged(string file, Exception? inner) => new($"'{file}' is damaged: its database is not the one that its manifest names", "take another backup file", inner);
}
