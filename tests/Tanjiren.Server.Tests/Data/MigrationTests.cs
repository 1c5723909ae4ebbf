using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tests.Audit;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Data;

/// <summary>
/// A database of any earlier version, with that version's data in it, becomes one of this version that serves. The data of a level are in
/// <c>Data/Levels/NNNN.sql</c>, written for the tables as that level's scripts left them; a level without a file adds none.
/// </summary>
public sealed class MigrationTests
{
    private const string Done = "task_00000000000000000000000001";
    private const string Waiting = "task_00000000000000000000000002";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    /// <summary>Every level that there is, on both databases.</summary>
    public static TheoryData<DatabaseKind, string> Levels()
    {
        var levels = new TheoryData<DatabaseKind, string>();
        foreach (var kind in new[] { DatabaseKind.Sqlite, DatabaseKind.Postgres })
            foreach (var level in All()) levels.Add(kind, level);
        return levels;
    }

    [Theory, MemberData(nameof(Levels))]
    public async Task A_database_of_this_level_is_brought_up_with_all_that_is_in_it(DatabaseKind kind, string level)
    {
        await using var test = await TestDatabase.CreateAsync(kind);
        Dictionary<string, List<Dictionary<string, string>>> before;
        await using (var database = new Database(DatabaseUrl.Open(test.Url, TimeProvider.System)))
        {
            var migrator = new Migrator(database, TimeProvider.System, NullLogger<Migrator>.Instance);
            foreach (var step in All().TakeWhile(l => string.CompareOrdinal(l, level) <= 0))
            {
                await migrator.MigrateToAsync(step, Cancelled);
                if (DataOf(step, kind) is { } sql) await database.WriteAsync(tx => tx.ExecuteAsync(sql), Cancelled);
            }
            before = await SnapshotAsync(database);
            before["audit_events"].Count.ShouldBe(3);

            await migrator.MigrateAsync(Cancelled);
            var after = await SnapshotAsync(database);
            foreach (var (table, rows) in before)
                foreach (var row in rows)
                    after[table].ShouldContain(kept => row.All(column => kept[column.Key] == column.Value), $"{table}: {string.Join(", ", row)}");
        }
        await ServesAsync(test.Url);
    }

    private static async Task ServesAsync(string url)
    {
        // Its owner is the one of the organization `local` that the data brought.
        await using var server = await ServerFixture.StartAsync(url);
        server.Owner.OrganizationId.ShouldBe("org_00000000000000000000000001");
        (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks")).Items.Select(t => (t.Id, t.State, t.Held)).ShouldBe([(Waiting, TaskState.Queued, false), (Done, TaskState.Completed, false)]);
        var done = await server.Client.TaskAsync(Done);
        done.Execution!.Steps.Single().ShouldSatisfyAllConditions(s => s.LogBytes.ShouldBe(2), s => s.LogsComplete.ShouldBeTrue());
        (await server.Client.GetBodyAsync<Page<LogChunkBody>>($"/api/tasks/{Done}/steps/{done.StepId()}/logs")).Items.Single().Data.ShouldBe("hi"u8.ToArray());
        (await server.Client.CancelAsync(Waiting)).EnsureSuccessStatusCode();

        using var agent = await server.NewAgentAsync("new machine");
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(task.StepId());
        await agent.CompleteAsync(task.StepId());
        (await server.Client.TaskAsync(task.Id)).State.ShouldBe(TaskState.Completed);

        // What was written before there was a chain is sealed with the rest.
        var export = (await server.Client.GetStringAsync("/api/audit-events/export", Cancelled)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        SealedLines.Verify(export).Fault.ShouldBeNull();
        export[1].ShouldContain("evt_00000000000000000000000001");
        export[2].ShouldContain("evt_00000000000000000000000003");
    }

    private static List<string> All() => [.. typeof(Migrator).Assembly.GetManifestResourceNames()
        .Where(n => n.Contains(".Migrations.", StringComparison.Ordinal)).Select(n => n.Split(".Migrations.")[1][..4]).Distinct().Order(StringComparer.Ordinal)];

    private static string? DataOf(string level, DatabaseKind kind, [CallerFilePath] string here = "")
    {
        var path = Path.Combine(Path.GetDirectoryName(here)!, "Levels", level + ".sql");
        if (!File.Exists(path)) return null;
        return File.ReadAllText(path)
            .Replace("{spec}", """{"intent":"x","mode":"command","command":{"argv":["true"]},"targets":{"workstations":["ws_00000000000000000000000001"],"placement":"all"},"maxParallel":1,"timeoutSeconds":86400,"queueTimeoutSeconds":604800,"leaseGraceSeconds":120,"onWorkerLost":"fail","priority":0}""", StringComparison.Ordinal)
            .Replace("{now}", TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds().ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal)
            .Replace("{bytes}", kind == DatabaseKind.Sqlite ? "X'6869'" : @"'\x6869'", StringComparison.Ordinal);
    }

    private static Task<Dictionary<string, List<Dictionary<string, string>>>> SnapshotAsync(Database database) => database.ReadAsync(async sql =>
    {
        var tables = await sql.ListAsync<string>(database.Provider.Name == "sqlite"
            ? "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'lease_clock'"
            : "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()");
        var all = new Dictionary<string, List<Dictionary<string, string>>>();
        foreach (var table in tables)
        {
            all[table] = [.. (await sql.ListAsync<object>($"SELECT * FROM {table}")).Select(row => ((IDictionary<string, object?>)row)
                .ToDictionary(c => c.Key, c => c.Value is byte[] bytes ? Convert.ToHexString(bytes) : $"{c.Value}"))];
        }
        return all;
    }, Cancelled);
}
