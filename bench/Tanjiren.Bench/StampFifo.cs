using System.Buffers.Binary;
using System.Diagnostics;

namespace Tanjiren.Bench;

/// <summary>Where <c>stamp FIFO</c> reports its first instruction.</summary>
internal sealed class StampFifo : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("tanjiren-bench-");
    private FileStream? _reader;

    public StampFifo()
    {
        Path = System.IO.Path.Combine(_directory.FullName, "stamp");
        using var mkfifo = Process.Start("mkfifo", ["-m", "600", Path]);
        mkfifo.WaitForExit();
        if (mkfifo.ExitCode != 0)
            throw new IOException($"mkfifo {Path} ended with code {mkfifo.ExitCode}");
    }

    public string Path { get; }

    /// <returns>The child's CLOCK_MONOTONIC in nanoseconds: <see cref="Stopwatch.GetTimestamp"/> counts the same on Linux.</returns>
    public async Task<long> ReadAsync(CancellationToken cancellation)
    {
        // Open for writing too: else the end of one child's stamp would read as end of file.
        _reader ??= new FileStream(Path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
        var stamp = new byte[sizeof(long)];
        await _reader.ReadExactlyAsync(stamp, cancellation);
        return BinaryPrimitives.ReadInt64LittleEndian(stamp);
    }

    public void Dispose()
    {
        _reader?.Dispose();
        _directory.Delete(recursive: true);
    }
}
