using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Masking;
using Tanjiren.Agent.Outbox;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Outbox;

public sealed class StepOutputTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();
    private readonly ManualTimeProvider clock = new();
    private int ticks;

    public void Dispose() => directory.Dispose();

    [Fact]
    public void An_idle_stream_is_written_at_once_and_a_busy_one_after_20_ms()
    {
        using var chunks = Chunks(new OutboxBudget(1 << 20), out var output);
        output.Write(LogStream.Stdout, "a"u8, Tick);
        chunks.LastSeq.ShouldBe(1);

        output.Write(LogStream.Stdout, "b"u8, Tick);
        output.Write(LogStream.Stdout, "c"u8, Tick);
        chunks.LastSeq.ShouldBe(1);
        clock.Advance(TimeSpan.FromMilliseconds(20));

        chunks.LastSeq.ShouldBe(2);
        Texts(chunks).ShouldBe(["a", "bc"]);
    }

    [Fact]
    public void Streams_keep_their_order_among_each_other()
    {
        using var chunks = Chunks(new OutboxBudget(1 << 20), out var output);
        foreach (var (stream, text) in new[] { (LogStream.Stdout, "1"), (LogStream.Stdout, "2"), (LogStream.Stderr, "3"), (LogStream.Stdout, "4") })
            output.Write(stream, Encoding.UTF8.GetBytes(text), Tick);
        output.Finish(Tick);

        string.Concat(Texts(chunks)).ShouldBe("1234");
    }

    [Fact]
    public async Task A_spent_budget_blocks_the_writer_which_ticks_until_the_sender_has_freed_room()
    {
        var budget = new OutboxBudget(256 * 1024);
        using var chunks = Chunks(budget, out var output);
        var writing = Task.Run(() =>
        {
            for (var i = 0; i < 64; i++) output.Write(LogStream.Stdout, new byte[StepOutput.ChunkBytes], Tick);
            output.Finish(Tick);
        }, Ct);
        await Eventually.TrueAsync(() => Volatile.Read(ref ticks) > 0);
        writing.IsCompleted.ShouldBeFalse();
        budget.Used.ShouldBeLessThanOrEqualTo(256 * 1024);

        // Drain as the sender does.
        long bytes = 0;
        await Eventually.TrueAsync(() =>
        {
            chunks.Sync();
            var batch = chunks.ReadBatch(null, 1 << 20, 256);
            bytes += batch.Sum(c => (long)c.Data.Length);
            if (batch.Count > 0) chunks.Stored(batch[^1].Seq);
            return writing.IsCompleted && batch.Count == 0;
        });

        bytes.ShouldBe(64L * StepOutput.ChunkBytes);
        (output.Kept, output.Truncated).ShouldBe((64L * StepOutput.ChunkBytes, false));
    }

    [Fact]
    public async Task A_step_that_is_given_up_no_longer_waits_and_says_what_was_dropped()
    {
        var budget = new OutboxBudget(128 * 1024);
        using var chunks = Chunks(budget, out var output);
        var writing = Task.Run(() =>
        {
            for (var i = 0; i < 10; i++) output.Write(LogStream.Stdout, new byte[StepOutput.ChunkBytes], Tick);
        }, Ct);
        await Eventually.TrueAsync(() => Volatile.Read(ref ticks) > 0);

        output.Abandon();

        await writing.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Ct);
        output.Truncated.ShouldBeTrue();
        output.Kept.ShouldBe(StepOutput.ChunkBytes);
    }

    [Fact]
    public async Task A_disk_that_fails_delays_output_and_loses_none()
    {
        using var chunks = Chunks(new OutboxBudget(1 << 20), out var output);
        Directory.Delete(directory.Path);
        var writing = Task.Run(() =>
        {
            output.Write(LogStream.Stdout, "survives"u8, Tick);
            output.Finish(Tick);
        }, Ct);
        await Eventually.TrueAsync(() => Volatile.Read(ref ticks) > 1);
        writing.IsCompleted.ShouldBeFalse();

        Directory.CreateDirectory(directory.Path);

        await writing.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Ct);
        Texts(chunks).ShouldBe(["survives"]);
    }

    [Fact]
    public void The_preview_is_the_last_4_KiB_that_were_printed()
    {
        using var chunks = Chunks(new OutboxBudget(1 << 20), out var output, limit: 2000);
        var printed = new byte[10_000];
        Random.Shared.NextBytes(printed);
        foreach (var piece in printed.Chunk(777)) output.Write(LogStream.Stdout, piece, Tick);

        output.Preview.ShouldBe(printed[^WireLimits.MaxOutputPreviewBytes..]);
        output.Kept.ShouldBe(2000);
    }

    [Fact]
    public void Secrets_are_masked_in_each_stream_before_anything_is_written()
    {
        using var chunks = Chunks(new OutboxBudget(1 << 20), out var output, masks: StepMasks.Of(new MaskSettings { Literals = ["correct horse"] }, new Dictionary<string, string>(), null, _ => null));
        foreach (var (stream, text) in new[]
        {
            (LogStream.System, "of correct horse\n"), (LogStream.Stdout, "out correct h"), (LogStream.Stderr, "err correct "), (LogStream.Stdout, "orse, "), (LogStream.Stderr, "dog, corr"),
        })
            output.Write(stream, Encoding.UTF8.GetBytes(text), Tick);
        clock.Advance(TimeSpan.FromMilliseconds(20));
        string.Concat(Texts(chunks)).ShouldBe("of [masked]\nout err [masked], correct dog, ", "no time lets half of a secret go");
        output.Finish(Tick);

        string.Concat(Texts(chunks)).ShouldBe("of [masked]\nout err [masked], correct dog, corr");
        Encoding.UTF8.GetString(output.Preview).ShouldBe("out err [masked], correct dog, corr");
        output.Kept.ShouldBe(output.Preview.Length + "of [masked]\n".Length);
    }

    /// <summary>Readers take a coding agent's event out up to the end of its line: what is told to people must not stand in one.</summary>
    [Theory]
    [InlineData("\u001e{\"type\":\"message\",\"text\":\"long\"}\n", "\u001e{\"typ\n[tanjiren] output truncated")]
    [InlineData("12345\n89\n", "12345\n[tanjiren] output truncated")]
    public void The_marker_of_a_cut_log_has_a_line_of_its_own(string printed, string told)
    {
        using var chunks = Chunks(new OutboxBudget(1 << 20), out var output, limit: 6);
        output.Write(LogStream.System, Encoding.UTF8.GetBytes(printed), Tick);
        output.Finish(Tick);
        string.Concat(Texts(chunks)).ShouldStartWith(told);
    }

    private ChunkLog Chunks(OutboxBudget budget, out StepOutput output, long limit = 1L << 30, StepMasks? masks = null)
    {
        var chunks = ChunkLog.Create(directory.Path, "clm_1", budget, AgentHarness.Fast, clock, NullLogger.Instance);
        output = new StepOutput(chunks, budget, limit, AgentHarness.Fast, clock, NullLogger.Instance, () => { }, masks);
        return chunks;
    }

    private static List<string> Texts(ChunkLog chunks)
    {
        chunks.Sync();
        return [.. chunks.ReadBatch(null, 1 << 20, 256).Select(c => Encoding.UTF8.GetString(c.Data))];
    }

    private void Tick() => Interlocked.Increment(ref ticks);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;
}
