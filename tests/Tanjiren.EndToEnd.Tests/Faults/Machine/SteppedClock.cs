using System.Globalization;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// Steps the wall clock of one running process by libfaketime, as an administrator or a wrong time server does. Elapsed time goes on as it was:
/// <c>TimeProvider.System.GetUtcNow()</c> jumps, <c>Stopwatch</c> and timers do not (tried with .NET 10; MachineFaultTests shows it).
/// </summary>
internal sealed class SteppedClock
{
    private readonly string _file;
    private readonly string _library;

    public SteppedClock(string directory)
    {
        var found = Directory.Exists("/usr/lib") ? Directory.EnumerateFiles("/usr/lib", "libfaketimeMT.so.1", new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 2, IgnoreInaccessible = true }).FirstOrDefault() : null;
        Prerequisite.Require(found is not null, "libfaketime (Debian package libfaketime)");
        _library = found!;
        _file = Path.Combine(directory, "clock-" + Guid.NewGuid().ToString("N")[..8]);
        Step(TimeSpan.Zero);
    }

    /// <summary>For the process whose clock this is, given at its start.</summary>
    public IReadOnlyDictionary<string, string?> Environment => new Dictionary<string, string?>
    {
        ["LD_PRELOAD"] = _library,
        ["FAKETIME_TIMESTAMP_FILE"] = _file,
        // A step shows within a second of the next look at the clock (else 10). Reading the file at every look would cost a server more than its work.
        ["FAKETIME_CACHE_DURATION"] = "1",
        ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1",
        ["DONT_FAKE_MONOTONIC"] = "1",
    };

    /// <summary>Within a second the process's wall clock is ahead by this much (negative: behind).</summary>
    public void Step(TimeSpan ahead)
    {
        // By rename: the process must never read half a number.
        File.WriteAllText(_file + ".new", ahead.TotalSeconds.ToString("+0.###;-0.###;+0", CultureInfo.InvariantCulture));
        File.Move(_file + ".new", _file, overwrite: true);
    }
}
