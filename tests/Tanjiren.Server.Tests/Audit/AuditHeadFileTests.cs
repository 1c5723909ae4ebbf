using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Audit;

/// <summary>The file outside the database is complete, survives the server's death in the middle of a line, and contradicts a database that was changed behind it.</summary>
public sealed class AuditHeadFileTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Each_process_keeps_every_head_in_its_own_file()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        var clock = new ManualTimeProvider();
        await using var one = await SealingProcess.StartAsync(database, clock, _directory.File("one"));
        await using var two = await SealingProcess.StartAsync(database, clock, _directory.File("two"));
        await two.PassAsync();
        await one.WriteAsync("org_a", "x");
        await one.PassAsync();
        Heads("one").ShouldBe([("org_a", 1)]);
        await two.PassAsync();
        File.Exists(_directory.File("two")).ShouldBeFalse("nothing of its own, and it looks at all of them every 30 s only");
        clock.Advance(TimeSpan.FromSeconds(30));
        await two.PassAsync();
        Heads("two").ShouldBe([("org_a", 1)]);
        await one.PassAsync();
        Heads("one").ShouldBe([("org_a", 1)], "what is written is not written again");
    }

    [Fact]
    public async Task Two_processes_do_not_write_one_file_and_sealing_goes_on()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        var path = _directory.File("heads");
        await using var one = await SealingProcess.StartAsync(database, new ManualTimeProvider(), path);
        await one.WriteAsync("org_a", "x");
        await one.PassAsync();
        await using var two = await SealingProcess.StartAsync(database, one.Clock, path);
        await two.WriteAsync("org_a", "y");
        (await Should.ThrowAsync<IOException>(two.PassAsync)).Message.ShouldContain("Tanjiren:Audit:HeadFile");
        (await two.SubjectsAsync("org_a")).ShouldBe(["x", "y"]);
        one.Clock.Advance(TimeSpan.FromSeconds(30));
        await one.PassAsync();
        Heads("heads").ShouldBe([("org_a", 1), ("org_a", 2)]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task After_a_death_inside_a_line_the_next_server_begins_a_new_one(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var path = _directory.File("heads");
        var clock = new ManualTimeProvider();
        await using (var one = await SealingProcess.StartAsync(database, clock, path))
        {
            await one.WriteAsync("org_a", "x");
            await one.PassAsync();
        }
        await File.AppendAllTextAsync(path, "{\"kind\":\"he", Cancelled);
        await using var next = await SealingProcess.StartAsync(database, clock, path);
        await next.WriteAsync("org_a", "y");
        await next.PassAsync();
        var heads = HeadFile.Read(await File.ReadAllLinesAsync(path, Cancelled));
        (heads.Unreadable, heads.HeadsOf("org_a").Last().Sequence).ShouldBe((1, 2));
        Verify(await next.ExportAsync("org_a"), heads).Fault.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_contradicts_a_chain_that_was_made_anew_with_the_server_s_own_key(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var path = _directory.File("heads");
        await using var one = await SealingProcess.StartAsync(database, new ManualTimeProvider(), path);
        for (var i = 0; i < 5; i++) await one.WriteAsync("org_a", "s" + i);
        await one.PassAsync();
        // Whoever writes the database lets the server itself seal another history.
        await one.Database.WriteAsync(tx => tx.ExecuteAsync("""
            DELETE FROM audit_chains;
            UPDATE audit_events SET chain_version = NULL, chain_seq = NULL, previous_hash = NULL, hash = NULL;
            UPDATE audit_events SET actor = 'usr_2' WHERE subject = 's3';
            """), Cancelled);
        await one.PassAsync();
        var export = await one.ExportAsync("org_a");
        SealedLines.Verify(export).Fault.ShouldBeNull();
        Verify(export, HeadFile.Read(await File.ReadAllLinesAsync(path, Cancelled))).Fault!.Kind.ShouldBe(ChainFaultKind.Altered);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_takes_from_the_database_only_what_the_server_signed(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync);
        var path = _directory.File("heads");
        await using var one = await SealingProcess.StartAsync(database, new ManualTimeProvider(), path);
        foreach (var organization in new[] { "org_a", "org_b" }) await one.WriteAsync(organization, "x");
        await one.PassAsync();
        // Nothing is to be sealed, so nobody but the file looks at the chain.
        await one.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE audit_chains SET head_seq = 9 WHERE chain = 'org_a'"), Cancelled);
        await one.WriteAsync("org_b", "y");
        one.Clock.Advance(TimeSpan.FromSeconds(30));
        (await Should.ThrowAsync<BrokenChainException>(one.PassAsync)).Chain.ShouldBe("org_a");
        var heads = HeadFile.Read(await File.ReadAllLinesAsync(path, Cancelled));
        (heads.Unsigned, heads.HeadsOf("org_a").Last().Sequence, heads.HeadsOf("org_b").Last().Sequence).ShouldBe((0, 1, 2));
    }

    private static ChainReport Verify(IEnumerable<string> lines, HeadFile heads)
    {
        var verifier = new ChainVerifier(heads, null);
        foreach (var line in lines) verifier.Add(line);
        return verifier.Finish();
    }

    private List<(string, long)> Heads(string file) => [.. HeadFile.Read(File.ReadAllLines(_directory.File(file))).HeadsOf("org_a").Select(h => (h.Chain, h.Sequence))];
}
