using System.Diagnostics;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// Turns a <c>kill -9</c> into a power cut: knows of every file what was in it at its last fsync (a preloaded witness keeps a copy), and puts that back, also
/// where bytes were written over others of a file that kept its length. A file that was never fsynced goes altogether. Needs a C compiler.
/// </summary>
internal sealed class SyncedBytes
{
    private readonly string _library;
    private readonly string _copies;

    public SyncedBytes(string directory)
    {
        _library = Path.Combine(directory, "synclog.so");
        _copies = Directory.CreateDirectory(Path.Combine(directory, "synced")).FullName;
        var source = Path.Combine(AppContext.BaseDirectory, "Faults", "Machine", "synclog.c");
        var compiler = Prerequisite.Program("cc");
        using var compile = Process.Start(compiler, ["-O1", "-shared", "-fPIC", "-pthread", "-o", _library, source, "-ldl"]);
        compile.WaitForExit();
        compile.ExitCode.ShouldBe(0, $"cc {source}");
    }

    /// <summary>For the process whose disk this is, given at its start.</summary>
    public IReadOnlyDictionary<string, string?> Environment => new Dictionary<string, string?> { ["LD_PRELOAD"] = _library, ["SYNC_COPIES"] = _copies };

    /// <summary>Puts every file under <paramref name="directory"/> back to its last fsync. The process must be dead.</summary>
    /// <param name="directory">The agent's home, or its outbox.</param>
    /// <param name="keep">Files that others write: they are left alone.</param>
    /// <returns>What was cut, one sentence each; empty when the kill found everything on disk.</returns>
    public IReadOnlyList<string> CutBack(string directory, Func<string, bool>? keep = null)
    {
        var cut = new List<string>();
        foreach (var path in Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories).Where(path => keep?.Invoke(path) != true))
        {
            var copy = Path.Combine(_copies, Identity(path));
            var now = File.ReadAllBytes(path);
            if (!File.Exists(copy))
            {
                File.Delete(path);
                cut.Add($"{path}: never fsynced, {now.Length} bytes");
                continue;
            }
            var durable = File.ReadAllBytes(copy);
            if (durable.AsSpan().SequenceEqual(now))
                continue;
            // Into the same file, not a new one: what the power cut leaves has its old inode.
            using var file = new FileStream(path, FileMode.Open, FileAccess.Write);
            file.Write(durable);
            file.SetLength(durable.Length);
            cut.Add($"{path}: {now.Length} bytes, of which {now.AsSpan().CommonPrefixLength(durable)} were as at the last fsync; then it had {durable.Length}");
        }
        return cut;
    }

    private static string Identity(string path)
    {
        using var stat = Process.Start(new ProcessStartInfo("stat", ["-c", "%Hd:%Ld_%i_%.9W", path]) { UseShellExecute = false, RedirectStandardOutput = true })!;
        var identity = stat.StandardOutput.ReadToEnd().Trim();
        stat.WaitForExit();
        return identity;
    }
}
