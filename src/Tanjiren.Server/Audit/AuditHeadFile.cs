using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Sqlite;

namespace Tanjiren.Server.Audit;

/// <summary>
/// The signed heads outside the database, one JSON line each, fsynced, never rewritten: whoever alters, cuts or remakes a chain in the database is contradicted by
/// it. One process writes; after a restart each chain's head is written once more.
/// </summary>
internal sealed partial class AuditHeadFile : IDisposable
{
    private readonly string? _path;
    private readonly AuditSeal _seal;
    private readonly Dictionary<string, (long Head, long Start)> _written = [];
    private FileStream? _lock;
    private FileStream? _file;

    public AuditHeadFile(AuditOptions options, Database database, AuditSeal seal, ILogger<AuditHeadFile> logger)
    {
        _path = options.HeadFile is { Length: > 0 } path ? Path.GetFullPath(path)
            : database.Provider is SqliteProvider sqlite ? sqlite.Path + ".audit-heads" : null;
        _seal = seal;
        if (_path is null) LogNone(logger);
    }

    public bool IsKept => _path is not null;

    /// <summary>Appends what these chains have reached since they were last written, and answers how many lines that took. Durable when it returns.</summary>
    public int Append(IReadOnlyList<ChainRow> chains)
    {
        var moved = chains.Where(c => _written.GetValueOrDefault(c.Chain) != (c.HeadSeq, c.StartSeq)).ToList();
        if (moved.Count == 0) return 0;
        var lines = new List<AuditHead>();
        foreach (var chain in moved)
        {
            var (head, start) = _written.GetValueOrDefault(chain.Chain);
            if (chain.StartSeq > start) lines.Add(chain.Checkpoint(_seal.PublicKey));
            if (chain.HeadSeq > head) lines.Add(chain.Head(_seal.PublicKey));
        }
        Write(lines);
        foreach (var chain in moved) _written[chain.Chain] = (chain.HeadSeq, chain.StartSeq);
        return lines.Count;
    }

    public void Dispose() => Close();

    private void Write(List<AuditHead> lines)
    {
        using var text = new MemoryStream();
        foreach (var line in lines)
        {
            text.Write(JsonSerializer.SerializeToUtf8Bytes(line, WireJson.Default.AuditHead));
            text.WriteByte((byte)'\n');
        }
        try
        {
            _file ??= Open();
            _file.Write(text.GetBuffer(), 0, (int)text.Length);
            _file.Flush(flushToDisk: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Opened anew next time, which ends a line that was written in part.
            Close();
            throw new IOException($"Tanjiren:Audit:HeadFile: the heads of the audit log can't be written to '{_path}'. Make room, allow it, or name a file that no other server writes.", e);
        }
    }

    private FileStream Open()
    {
        // Appending is by position: two processes that both append would overwrite each other's lines.
        _lock = new FileStream(_path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        var torn = EndsInsideALine();
        var options = new FileStreamOptions { Mode = FileMode.Append, Access = FileAccess.Write, Share = FileShare.Read, BufferSize = 0 };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead;
        var file = new FileStream(_path!, options);
        if (torn) file.WriteByte((byte)'\n');
        return file;
    }

    private void Close()
    {
        _file?.Dispose();
        _lock?.Dispose();
        (_file, _lock) = (null, null);
    }

    private bool EndsInsideALine()
    {
        if (!File.Exists(_path)) return false;
        using var file = new FileStream(_path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        if (file.Length == 0) return false;
        file.Seek(-1, SeekOrigin.End);
        return file.ReadByte() != '\n';
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "No file outside the database keeps the heads of the audit log; Tanjiren:Audit:HeadFile names one")]
    private static partial void LogNone(ILogger logger);
}
