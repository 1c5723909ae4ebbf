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

    /// <summary>
    /// Appends what these chains have reached since they were last written, and answers how many lines that took. Durable when it returns. What our key has not signed is left
    /// out and added to <paramref name="failures"/>: the database may say anything, this file only what was sealed.
    /// </summary>
    public int Append(IReadOnlyList<ChainRow> chains, List<Exception> failures)
    {
        var (lines, moved) = (new List<AuditHead>(), new List<ChainRow>());
        foreach (var chain in chains)
        {
            if (_written.GetValueOrDefault(chain.Chain) == (chain.HeadSeq, chain.StartSeq)) continue;
            var fresh = Fresh(chain).ToList();
            if (fresh.FirstOrDefault(line => !AuditChain.IsSigned(line)) is { } foreign)
            {
                failures.Add(new BrokenChainException(chain.Chain, $"its {foreign.Kind} of row {foreign.Sequence} carries no signature of its key"));
                continue;
            }
            lines.AddRange(fresh);
            moved.Add(chain);
        }
        if (lines.Count > 0) Write(lines);
        foreach (var chain in moved) _written[chain.Chain] = (chain.HeadSeq, chain.StartSeq);
        return lines.Count;
    }

    public void Dispose() => Close();

    private IEnumerable<AuditHead> Fresh(ChainRow chain)
    {
        var (head, start) = _written.GetValueOrDefault(chain.Chain);
        if (chain.StartSeq > start) yield return chain.Checkpoint(_seal.PublicKey);
        if (chain.HeadSeq > head) yield return chain.Head(_seal.PublicKey);
    }

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
