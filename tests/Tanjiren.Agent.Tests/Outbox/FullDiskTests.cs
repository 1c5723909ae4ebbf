using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Outbox;

/// <summary>A file system that is really full: a tmpfs of one MiB.</summary>
public sealed class FullDiskTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();
    private bool mounted;

    public void Dispose()
    {
        if (mounted) Run("umount", directory.Path);
        directory.Dispose();
    }

    [Fact]
    public async Task On_a_full_disk_a_reserved_result_is_still_recorded_and_output_waits_until_there_is_room()
    {
        Mount();
        using var journal = Journal.Open(directory.File("journal"), NullLogger.Instance);
        journal.Append(new JournalEntry { Kind = JournalKind.Claiming, ClaimId = "clm_1", StepId = "step_1" }, durable: true);
        journal.ReserveResult("clm_1");
        var budget = new OutboxBudget(1L << 30);
        using var chunks = ChunkLog.Create(directory.Path, "clm_1", budget, AgentHarness.Fast, TimeProvider.System, NullLogger.Instance);
        using var output = new StepOutput(chunks, budget, 1L << 30, AgentHarness.Fast, TimeProvider.System, NullLogger.Instance, () => { });
        var ballast = directory.File("ballast");
        var ticks = 0;
        output.Write(LogStream.Stdout, "before"u8, () => { });
        chunks.Sync();
        Fill(ballast);

        var writing = Task.Run(() =>
        {
            output.Write(LogStream.Stdout, new byte[200_000], () => Interlocked.Increment(ref ticks));
            output.Finish(() => Interlocked.Increment(ref ticks));
        }, TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(() => Volatile.Read(ref ticks) > 2);
        journal.Append(new JournalEntry { Kind = JournalKind.Result, ClaimId = "clm_1", Result = new CompleteRequest { ExitCode = 5, Detail = new string('x', 2000) } }, durable: true);
        writing.IsCompleted.ShouldBeFalse();
        File.Delete(ballast);
        await writing.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, TestContext.Current.CancellationToken);

        chunks.ReadBatch(null, 1 << 20, 256).Sum(c => c.Data.Length).ShouldBe(200_006);
        using var again = Journal.Open(directory.File("journal"), NullLogger.Instance);
        again.Read(s => s.Find("clm_1"))!.Result!.ExitCode.ShouldBe(5);
    }

    [Fact]
    public void Without_room_for_its_result_a_step_is_not_reserved()
    {
        Mount();
        using var journal = Journal.Open(directory.File("journal"), NullLogger.Instance);
        Fill(directory.File("ballast"));

        Should.Throw<IOException>(() =>
        {
            for (var i = 0; i < 100; i++) journal.ReserveResult($"clm_{i}");
        });

        journal.Append(new JournalEntry { Kind = JournalKind.Claiming, ClaimId = "clm_x", StepId = "step_x" }, durable: true);
    }

    private void Mount()
    {
        Prerequisite.Root();
        mounted = Run("mount", "-t", "tmpfs", "-o", "size=1m", "tanjiren-test", directory.Path) == 0;
        Prerequisite.Require(mounted, "the right to mount a tmpfs");
    }

    private static void Fill(string path)
    {
        using var file = File.OpenHandle(path, FileMode.Create, FileAccess.Write);
        var block = new byte[4096];
        for (long at = 0; ; at += block.Length)
        {
            try
            {
                RandomAccess.Write(file, block, at);
            }
            catch (IOException)
            {
                return;
            }
        }
    }

    private static int Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, UseShellExecute = false })!;
        process.WaitForExit();
        return process.ExitCode;
    }
}
