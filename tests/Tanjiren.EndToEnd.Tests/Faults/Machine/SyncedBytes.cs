using System.Diagnostics;
using System.Globalization;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// Turns a <c>kill -9</c> into a power cut: knows of every file how much of it was fsynced (a preloaded witness writes that down), and cuts the
/// rest off. A file that was never fsynced goes altogether. Needs a C compiler.
/// </summary>
internal sealed class SyncedBytes
{
    private readonly string _library;
    private readonly string _log;

    public SyncedBytes(string directory)
    {
        _library = Path.Combine(directory, "synclog.so");
        _log = Path.Combine(directory, "sync.log");
        var source = Path.Combine(AppContext.BaseDirectory, "Faults", "Machine", "synclog.c");
        var compiler = Prerequisite.Program("cc");
        using var compile = Process.Start(compiler, ["-O1", "-shared", "-fPIC", "-o", _library, source, "-ldl"]);
        compile.WaitForExit();
        compile.ExitCode.ShouldBe(0, $"cc {source}");
    }

    /// <summary>For the process whose disk this is, given at its start.</summary>
    public IReadOnlyDictionary<string, string?> Environment => new Dictionary<string, string?> { ["LD_PRELOAD"] = _library, ["SYNC_LOG"] = _log };

    /// <summary>Cuts every file under <paramref name="directory"/> back to its last fsynced byte. The process must be dead.</summary>
    /// <param name="directory">The agent's home, or its outbox.</param>
    /// <param name="keep">Files that others write: they are left alone.</param>
    /// <returns>What was cut, one sentence each; empty when the kill found everything on disk.</returns>
    public IReadOnlyList<string> CutBack(string directory, Func<string, bool>? keep = null)
    {
        var synced = File.Exists(_log)
            ? File.ReadLines(_log).Select(line => line.Split(' ')).GroupBy(words => string.Join(' ', words[..3]), words => long.Parse(words[3], CultureInfo.InvariantCulture))
                .ToDictionary(file => file.Key, file => file.Last())
            : [];
        var cut = new List<string>();
        foreach (var path in Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories).Where(path => keep?.Invoke(path) != true))
        {
            var length = new FileInfo(path).Length;
            if (!synced.TryGetValue(Identity(path), out var durable))
            {
                File.Delete(path);
                cut.Add($"{path}: never fsynced, {length} bytes");
            }
            else if (durable < length)
            {
                using var file = new FileStream(path, FileMode.Open, FileAccess.Write);
                file.SetLength(durable);
                cut.Add($"{path}: {length - durable} of {length} bytes");
            }
        }
        return cut;
    }

    private static string Identity(string path)
    {
        using var stat = Process.Start(new ProcessStartInfo("stat", ["-c", "%Hd:%Ld %i %W", path]) { UseShellExecute = false, RedirectStandardOutput = true })!;
        var identity = stat.StandardOutput.ReadToEnd().Trim();
        stat.WaitForExit();
        return identity;
    }
}
