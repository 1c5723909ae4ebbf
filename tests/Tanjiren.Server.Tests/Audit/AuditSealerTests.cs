using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
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

    /// <summary>Somebody who writes the database and has not the key. Each says what the export then shows.</summary>
    public static TheoryData<DatabaseKind, string, ChainFaultKind, long> Forgeries { get; } = new(
        from kind in new[] { DatabaseKind.Sqlite, DatabaseKind.Postgres }
        from forgery in new (string, ChainFaultKind, long)[]
        {
            ("hashed anew with its head", ChainFaultKind.Unsigned, 6), ("hashed anew", ChainFaultKind.Altered, 6), ("a checkpoint of their own", ChainFaultKind.Unsigned, 2),
            ("cut off", ChainFaultKind.Truncated, 5), ("set back", ChainFaultKind.Unsigned, 4),
        }
        select (kind, forgery.Item1, forgery.Item2, forgery.Item3));

    [Theory, MemberData(nameof(Forgeries))]
    public async Task What_was_changed_past_the_server_is_neither_signed_nor_hidden_and_other_chains_go_on(DatabaseKind kind, string forgery, ChainFaultKind fault, long at)
    {
        using var directory = new TemporaryDirectory();
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        await using var one = await SealingProcess.StartAsync(database, new ManualTimeProvider(), directory.File("heads"));
        for (var i = 1; i <= 3; i++) await one.WriteAsync("org_a", "s" + i);
        await one.PassAsync();
        var early = await one.Database.ReadAsync(sql => sql.FirstAsync<ChainRow>("SELECT * FROM audit_chains WHERE chain = 'org_a'"), Cancelled);
        for (var i = 4; i <= 6; i++) await one.WriteAsync("org_a", "s" + i);
        await one.PassAsync();
        var known = await File.ReadAllTextAsync(directory.File("heads"), Cancelled);
        await one.Database.WriteAsync(tx => ForgeAsync(tx, forgery, early!), Cancelled);

        await one.WriteAsync("org_a", "after");
        await one.WriteAsync("org_b", "x");
        var broken = await Should.ThrowAsync<BrokenChainException>(one.PassAsync);
        (broken.Chain, broken.Message.Contains("org_a", StringComparison.Ordinal), broken.ToString().Contains("org_a", StringComparison.Ordinal)).ShouldBe(("org_a", false, true));
        (await one.SubjectsAsync("org_a")).ShouldNotContain("after");
        (await one.SubjectsAsync("org_b")).ShouldBe(["x"], "another chain goes on");
        (await File.ReadAllTextAsync(directory.File("heads"), Cancelled))[known.Length..].ShouldNotContain("org_a");
        SealedLines.Verify(await one.ExportAsync("org_a")).Fault.ShouldSatisfyAllConditions(f => f!.Kind.ShouldBe(fault), f => f!.Sequence.ShouldBe(at));
        var left = await one.SubjectsAsync("org_a");
        await Should.ThrowAsync<BrokenChainException>(() => one.Purge.RunAsync(one.Clock.GetUtcNow(), Cancelled));
        (await one.SubjectsAsync("org_b")).ShouldBeEmpty("which were all old");
        (await one.SubjectsAsync("org_a")).ShouldBe(left);

        await one.PassAsync(); // it is told every 30 s, not with each pass
        one.Clock.Advance(TimeSpan.FromSeconds(30));
        await Should.ThrowAsync<Exception>(one.PassAsync);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_chain_whose_head_was_deleted_does_not_begin_anew(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        await using var one = await SealingProcess.StartAsync(database, new ManualTimeProvider());
        await one.WriteAsync("org_a", "x");
        await one.PassAsync();
        await one.Database.WriteAsync(tx => tx.ExecuteAsync("DELETE FROM audit_chains"), Cancelled);
        await Should.ThrowAsync<BrokenChainException>(() => one.ExportAsync("org_a"));
        await one.WriteAsync("org_a", "y");
        await Should.ThrowAsync<BrokenChainException>(one.PassAsync);
        (await one.SubjectsAsync("org_a")).ShouldBe(["x"]);
    }

    private static async Task ForgeAsync(WriteTransaction tx, string forgery, ChainRow early)
    {
        if (forgery == "cut off") await tx.ExecuteAsync("DELETE FROM audit_events WHERE chain_seq > 4");
        if (forgery == "set back")
            await tx.ExecuteAsync("UPDATE audit_chains SET head_seq = @HeadSeq, head_hash = @HeadHash, head_at = @HeadAt, head_signature = @HeadSignature WHERE chain = 'org_a'", early);
        if (forgery == "a checkpoint of their own")
            await tx.ExecuteAsync("""
                UPDATE audit_chains SET start_seq = 2, start_hash = (SELECT hash FROM audit_events WHERE chain_seq = 2) WHERE chain = 'org_a';
                DELETE FROM audit_events WHERE chain_seq = 2;
                """);
        if (!forgery.StartsWith("hashed anew", StringComparison.Ordinal)) return;
        var hash = "";
        foreach (var row in await tx.ListAsync<AuditRow>("SELECT * FROM audit_events WHERE chain_seq >= 3 ORDER BY chain_seq"))
        {
            var body = row.ToBody() with { Actor = row.ChainSeq == 3 ? "usr_2" : row.Actor, PreviousHash = row.ChainSeq == 3 ? row.PreviousHash : hash };
            hash = AuditChain.HashOf("org_a", body);
            await tx.ExecuteAsync("UPDATE audit_events SET actor = @Actor, previous_hash = @PreviousHash, hash = @hash WHERE id = @Id", new { body.Id, body.Actor, body.PreviousHash, hash });
        }
        if (forgery == "hashed anew with its head") await tx.ExecuteAsync("UPDATE audit_chains SET head_hash = @hash WHERE chain = 'org_a'", new { hash });
    }
}
