using System.Diagnostics;
using System.Globalization;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults.Kit;

/// <summary>The machine's faults happen to real processes: this test program starts itself as the victim (see <see cref="Victim"/>).</summary>
public sealed class MachineFaultTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_stepped_clock_moves_the_wall_of_a_running_dotnet_process_and_not_its_stopwatch()
    {
        Prerequisite.Linux();
        var clock = new SteppedClock(_directory.Path);
        await using var victim = new Victim("clock", clock.Environment);
        var before = await victim.AskAsync();
        clock.Step(TimeSpan.FromMinutes(10));
        var ahead = await StepAsync(before);
        clock.Step(TimeSpan.FromMinutes(-10));
        var behind = await StepAsync(ahead);

        (ahead.Wall - before.Wall).ShouldBe(TimeSpan.FromMinutes(10), TimeSpan.FromSeconds(30));
        (behind.Wall - before.Wall).ShouldBe(TimeSpan.FromMinutes(-10), TimeSpan.FromSeconds(30));
        (behind.Elapsed - before.Elapsed).ShouldBeInRange(TimeSpan.Zero, TimeSpan.FromSeconds(30));

        async Task<(DateTimeOffset Wall, TimeSpan Elapsed)> StepAsync((DateTimeOffset Wall, TimeSpan Elapsed) last)
        {
            var now = last;
            await Eventually.TrueAsync(async () => ((now = await victim.AskAsync()).Wall - last.Wall).Duration() > TimeSpan.FromMinutes(5), what: "the step shows");
            return now;
        }
    }

    [Fact]
    public void A_small_disk_is_full_when_filled_and_usable_again_when_freed()
    {
        var file = Path.Combine(_directory.Path, "disk", "data");
        using var disk = SmallDisk.Mount(Path.Combine(_directory.Path, "disk"), 256);
        File.WriteAllBytes(file, new byte[1000]);
        disk.Fill();
        Should.Throw<IOException>(() => File.AppendAllBytes(file, new byte[64 * 1024]));
        disk.Free();
        File.AppendAllBytes(file, new byte[64 * 1024]);
    }

    [Fact]
    public async Task A_power_cut_takes_exactly_what_was_not_fsynced()
    {
        Prerequisite.Linux();
        var synced = new SyncedBytes(_directory.Path);
        var home = Directory.CreateDirectory(Path.Combine(_directory.Path, "home")).FullName;
        await using (var victim = new Victim("write", synced.Environment, home))
            await victim.AskAsync();
        synced.CutBack(home).Count.ShouldBe(2);
        Directory.GetFiles(home).Select(Path.GetFileName).ShouldBe(["durable", "renamed"], ignoreOrder: true);
        (await File.ReadAllTextAsync(Path.Combine(home, "durable"), Cancellation)).ShouldBe("durable");
        (await File.ReadAllTextAsync(Path.Combine(home, "renamed"), Cancellation)).ShouldBe("renamed");
        synced.CutBack(home).ShouldBeEmpty();
    }

    /// <summary>A .NET process of a few lines: C# compiled by nobody but the tests' own build.</summary>
    private sealed class Victim : IAsyncDisposable
    {
        private readonly Process _process;

        public Victim(string role, IReadOnlyDictionary<string, string?> environment, params string[] arguments)
        {
            var start = new ProcessStartInfo("dotnet", ["exec", typeof(MachineFaultTests).Assembly.Location, VictimProgram.Word, role, .. arguments])
            {
                UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true,
            };
            foreach (var (name, value) in environment)
                start.Environment[name] = value;
            _process = Process.Start(start)!;
        }

        public async Task<(DateTimeOffset Wall, TimeSpan Elapsed)> AskAsync()
        {
            await _process.StandardInput.WriteLineAsync("?");
            await _process.StandardInput.FlushAsync(Cancellation);
            var words = (await _process.StandardOutput.ReadLineAsync(Cancellation))?.Split(' ') ?? throw new InvalidOperationException("the victim ended");
            return (DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(words[0], CultureInfo.InvariantCulture)), TimeSpan.FromMilliseconds(long.Parse(words[1], CultureInfo.InvariantCulture)));
        }

        public async ValueTask DisposeAsync()
        {
            _process.Kill();
            await _process.WaitForExitAsync(CancellationToken.None);
            _process.Dispose();
        }
    }
}
