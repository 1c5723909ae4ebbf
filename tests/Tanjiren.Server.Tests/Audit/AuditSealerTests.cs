using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Audit;

/// <summary>Everything that was committed is sealed, once, in an order that then stands, whoever writes and seals at the same moment.</summary>
public sealed class AuditSealerTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Rows_are_numbered_without_holes_in_a_chain_of_each_organization_and_one_of_none(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        await using var one = await SealingProcess.StartAsync(database, new ManualTimeProvider());
        foreach (var organization in new[] { "org_a", null, "org_b", "org_a", null, "org_a" }) await one.WriteAsync(organization, "x");
        await one.PassAsync();
        (await one.Sealer.WaitingAsync(Cancelled)).ShouldBeEmpty();
        foreach (var (chain, rows) in new[] { ("org_a", 3), ("org_b", 1), (AuditChain.ServerChain, 2) })
        {
            var lines = await one.ExportAsync(chain);
            SealedLines.Verify(lines).ShouldSatisfyAllConditions(r => r.Fault.ShouldBeNull(), r => r.Last.ShouldBe(rows), r => r.Chain.ShouldBe(chain));
        }
        one.Loop.Record.Status().Counters["sealed"].ShouldBe(6);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_row_with_an_earlier_instant_that_comes_late_stands_where_it_was_seen(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var clock = new ManualTimeProvider();
        await using var one = await SealingProcess.StartAsync(database, clock);
        await one.WriteAsync("org_a", "first");
        await one.PassAsync();
        clock.StepWall(TimeSpan.FromMinutes(-5));
        await one.WriteAsync("org_a", "late");
        await one.PassAsync();
        (await one.SubjectsAsync("org_a")).ShouldBe(["first", "late"]);
        SealedLines.Verify(await one.ExportAsync("org_a")).Fault.ShouldBeNull();
    }

    [Fact]
    public async Task A_transaction_that_commits_after_later_ones_were_sealed_is_not_left_out()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        await using var one = await SealingProcess.StartAsync(database, new ManualTimeProvider());
        await using var two = await SealingProcess.StartAsync(database, one.Clock);
        var (written, commit) = (new TaskCompletionSource(), new TaskCompletionSource());
        var slow = one.Database.WriteAsync(async tx =>
        {
            await one.Log.AppendAsync(tx, "org_a", "usr_1", "test.done", "slow", null, null);
            written.TrySetResult();
            await commit.Task;
        }, Cancelled);
        await written.Task;
        one.Clock.Advance(TimeSpan.FromSeconds(1));
        await two.WriteAsync("org_a", "fast");
        await two.PassAsync();
        (await two.SubjectsAsync("org_a")).ShouldBe(["fast"]);
        commit.SetResult();
        await slow;
        await two.PassAsync();
        (await two.SubjectsAsync("org_a")).ShouldBe(["fast", "slow"]);
        SealedLines.Verify(await two.ExportAsync("org_a")).Fault.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task With_many_writers_and_several_sealers_nothing_is_left_out_and_nothing_sealed_twice(DatabaseKind kind)
    {
        const int Writers = 6, Rows = 40;
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var clock = new ManualTimeProvider();
        await using var one = await SealingProcess.StartAsync(database, clock);
        await using var two = await SealingProcess.StartAsync(database, clock);
        using var written = new CancellationTokenSource();
        var sealers = new[] { one, two, one, two }.Select(process => Task.Run(async () =>
        {
            while (!written.IsCancellationRequested)
                foreach (var chain in await process.Sealer.WaitingAsync(Cancelled)) await process.Sealer.SealAsync(chain, Cancelled);
        })).ToList();
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(async () =>
        {
            var process = writer % 2 == 0 ? one : two;
            for (var i = 0; i < Rows; i++) await process.WriteAsync(i % 3 == 0 ? null : i % 3 == 1 ? "org_a" : "org_b", $"{writer}.{i}");
        })));
        await written.CancelAsync();
        await Task.WhenAll(sealers);
        await one.PassAsync();

        var all = new List<string>();
        foreach (var organization in new[] { null, "org_a", "org_b" })
        {
            var subjects = await one.SubjectsAsync(organization);
            all.AddRange(subjects);
            SealedLines.Verify(await two.ExportAsync(organization ?? AuditChain.ServerChain)).ShouldSatisfyAllConditions(r => r.Fault.ShouldBeNull(), r => r.Last.ShouldBe(subjects.Count));
        }
        all.Order().ShouldBe(Enumerable.Range(0, Writers).SelectMany(w => Enumerable.Range(0, Rows).Select(i => $"{w}.{i}")).Order());
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Whatever_is_done_to_the_table_is_found_by_its_row(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        await using var one = await SealingProcess.StartAsync(database, new ManualTimeProvider());
        for (var i = 1; i <= 9; i++) await one.WriteAsync("org_a", "s" + i);
        await one.PassAsync();
        foreach (var (what, kindOfFault, row) in new[]
        {
            ("UPDATE audit_events SET actor = 'usr_2' WHERE chain_seq = 4", ChainFaultKind.Altered, 4),
            ("DELETE FROM audit_events WHERE chain_seq = 3", ChainFaultKind.Missing, 3),
            ("DELETE FROM audit_events WHERE chain_seq > 2", ChainFaultKind.Truncated, 3),
        })
        {
            await one.Database.WriteAsync(tx => tx.ExecuteAsync(what), Cancelled);
            SealedLines.Verify(await one.ExportAsync("org_a")).Fault.ShouldSatisfyAllConditions(f => f!.Kind.ShouldBe(kindOfFault, what), f => f!.Sequence.ShouldBe(row));
        }
    }
}
