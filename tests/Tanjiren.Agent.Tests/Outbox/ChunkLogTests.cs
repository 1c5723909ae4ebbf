using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Outbox;

public sealed class ChunkLogTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();
    private readonly ManualTimeProvider clock = new();
    private readonly OutboxBudget budget = new(1L << 30);

    public void Dispose() => directory.Dispose();

    [Fact]
    public void Nothing_is_read_before_it_is_synced()
    {
        using var log = Create();
        log.Append(LogStream.Stdout, [1]);

        log.ReadBatch(null, 1000, 100).ShouldBeEmpty();
        log.Sync();

        log.ReadBatch(null, 1000, 100).Single().Seq.ShouldBe(1);
    }

    [Fact]
    public void Output_is_synced_after_200_ms_without_anybody_asking()
    {
        using var log = Create();
        log.Append(LogStream.Stdout, [1]);
        clock.Advance(TimeSpan.FromMilliseconds(199));
        log.SyncedSeq.ShouldBe(0);

        clock.Advance(TimeSpan.FromMilliseconds(1));

        log.SyncedSeq.ShouldBe(1);
    }

    [Fact]
    public void The_digest_of_an_earlier_run_is_read_again_from_its_files_and_unknown_once_one_is_freed()
    {
        string? digest;
        using (var log = Create())
        {
            log.Digest().ShouldBe(new LogDigest().Value);
            for (var i = 0; i < 10; i++) log.Append(i % 2 == 0 ? LogStream.Stdout : LogStream.Stderr, [(byte)i, 1, 2, 3]);
            log.Sync();
            digest = log.Digest();
        }
        using (var again = Recover()) again.Digest().ShouldBe(digest);
        digest.ShouldNotBe(new LogDigest().Value);

        foreach (var file in Files()) File.Delete(file);
        using var gone = ChunkLog.Recover(directory.Path, "clm_1", storedSeq: 10, budget, AgentHarness.Fast, clock, NullLogger.Instance);
        gone.Digest().ShouldBeNull();
    }

    [Fact]
    public void Cut_back_to_the_last_sync_it_holds_exactly_what_was_synced()
    {
        long synced;
        using (var log = Create())
        {
            for (var i = 0; i < 10; i++) log.Append(LogStream.Stdout, [(byte)i, 1, 2, 3]);
            log.Sync();
            synced = new FileInfo(Files().Single()).Length;
            for (var i = 10; i < 20; i++) log.Append(LogStream.Stderr, [(byte)i]);
        }
        Cut(synced);
        using var again = Recover();

        again.LastSeq.ShouldBe(10);
        again.ReadBatch(null, 1 << 20, 100).Select(c => c.Data[0]).ShouldBe(Enumerable.Range(0, 10).Select(i => (byte)i));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(20)]
    public void A_torn_last_chunk_is_dropped(int torn)
    {
        using (var log = Create())
        {
            log.Append(LogStream.Stdout, "first"u8.ToArray());
            log.Append(LogStream.Stdout, "second"u8.ToArray());
            log.Sync();
        }
        Cut(new FileInfo(Files().Single()).Length - torn);
        using var again = Recover();

        again.ReadBatch(null, 1000, 100).Select(c => Encoding.UTF8.GetString(c.Data)).ShouldBe(["first"]);
    }

    [Fact]
    public void A_damaged_chunk_is_replaced_by_a_marker_under_its_own_sequence()
    {
        using (var log = Create())
        {
            foreach (var text in new[] { "one", "two", "three" }) log.Append(LogStream.Stdout, Encoding.UTF8.GetBytes(text));
            log.Sync();
        }
        var path = Files().Single();
        var bytes = File.ReadAllBytes(path);
        bytes[bytes.AsSpan().IndexOf("two"u8)] ^= 0xff;
        File.WriteAllBytes(path, bytes);
        using var again = Recover();

        var batch = again.ReadBatch(null, 1000, 100);

        batch.Select(c => c.Seq).ShouldBe([1L, 2L, 3L]);
        batch[1].Stream.ShouldBe(LogStream.System);
        Encoding.UTF8.GetString(batch[1].Data).ShouldContain("lost");
        Encoding.UTF8.GetString(batch[2].Data).ShouldBe("three");
    }

    [Fact]
    public void Segments_that_the_server_stores_are_deleted_and_their_room_given_back()
    {
        using var log = Create();
        var chunk = new byte[64 * 1024];
        for (var i = 0; i < 200; i++)
        {
            budget.TryTake(Segment.SizeOf(chunk.Length)).ShouldBeTrue();
            log.Append(LogStream.Stdout, chunk);
        }
        log.Sync();
        Files().Length.ShouldBeGreaterThan(2);

        log.Stored(199);
        Files().Length.ShouldBe(1);
        log.Stored(200).ShouldBeTrue();

        Files().ShouldBeEmpty();
        budget.Used.ShouldBe(0);
        log.Append(LogStream.Stdout, [1]);
        log.LastSeq.ShouldBe(201);
    }

    [Fact]
    public void Batches_follow_each_other_across_segments_without_gap_or_repeat()
    {
        using var log = Create();
        var total = 0;
        for (; total < 150; total++) log.Append(LogStream.Stdout, [.. new byte[60_000], (byte)total]);
        log.Sync();

        var seen = new List<long>();
        while (log.ReadBatch(null, 1 << 20, 256) is { Count: > 0 } batch)
        {
            batch.Sum(c => c.Data.Length).ShouldBeLessThanOrEqualTo(1 << 20);
            seen.AddRange(batch.Select(c => c.Seq));
            log.Stored(batch[^1].Seq);
        }

        seen.ShouldBe(Enumerable.Range(1, total).Select(i => (long)i));
    }

    [Fact]
    public void After_a_restart_the_sequence_goes_on_behind_what_was_stored_and_deleted()
    {
        using (var log = Create())
        {
            for (var i = 0; i < 200; i++) log.Append(LogStream.Stdout, new byte[64 * 1024]);
            log.Sync();
            log.Stored(150);
        }
        using var again = Recover();

        again.StoredSeq.ShouldBeInRange(1, 150);
        again.LastSeq.ShouldBe(200);
        again.ReadBatch(null, 1, 1).Single().Seq.ShouldBe(again.StoredSeq + 1);
    }

    [Fact]
    public void Without_its_directory_a_log_refuses_and_goes_on_when_it_is_back()
    {
        using var log = Create();
        Directory.Delete(directory.Path);
        Should.Throw<IOException>(() => log.Append(LogStream.Stdout, [1]));
        Directory.CreateDirectory(directory.Path);

        log.Append(LogStream.Stdout, [2]);
        log.Sync();

        var chunk = log.ReadBatch(null, 100, 100).Single();
        (chunk.Seq, chunk.Data[0]).ShouldBe((1L, (byte)2));
    }

    private string[] Files() => Directory.GetFiles(directory.Path);

    private void Cut(long length)
    {
        using var file = new FileStream(Files().Single(), FileMode.Open);
        file.SetLength(length);
    }

    private ChunkLog Create() => ChunkLog.Create(directory.Path, "clm_1", budget, new AgentTimeouts(), clock, NullLogger.Instance);

    private ChunkLog Recover() => ChunkLog.Recover(directory.Path, "clm_1", 0, new OutboxBudget(1L << 30), new AgentTimeouts(), clock, NullLogger.Instance);
}
