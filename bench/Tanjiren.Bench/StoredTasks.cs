using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Postgres;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Bench;

/// <summary>
/// A store with very many ended tasks in it. The first thousand really went through it: most succeeded, some failed, some were cancelled. All others are copies of
/// those by SQL in bulk, with ids and instants of their own, so that every row has the shape that the product gives it.
/// </summary>
internal sealed class StoredTasks : IAsyncDisposable
{
    public const int Originals = 1000;

    /// <summary>Copies of all originals in one transaction.</summary>
    private const int CopiesAtOnce = 10;

    /// <summary>Digits of an id that say when it was made, and those behind them: what follows its prefix.</summary>
    private const int StampLength = 10, RandomLength = 16;

    /// <summary>Between one copy and the next older one.</summary>
    private static readonly TimeSpan Apart = TimeSpan.FromMinutes(1);

    /// <summary>The tables of a task, parents first, with the columns that hold ids of its own.</summary>
    private static readonly (string Name, string[] Ids)[] Tables =
    [
        ("tasks", ["id"]), ("executions", ["id", "task_id"]), ("steps", ["id", "execution_id", "task_id", "claim_id"]), ("step_claims", ["step_id", "claim_id"]),
        ("step_events", ["task_id", "step_id"]), ("artifacts", ["id", "task_id"]),
    ];

    private readonly StoreNoop _store;
    private Device _idle = null!;
    private string _middle = "";
    private int _turn = -1;

    private StoredTasks(StoreNoop store, int count) => (_store, Count) = (store, count);

    public int Count { get; }

    /// <param name="settings">Where PostgreSQL is.</param>
    /// <param name="postgres">Or SQLite.</param>
    /// <param name="count">Tasks to store, in thousands of them.</param>
    /// <param name="cancellation">Ends the storing.</param>
    public static async Task<StoredTasks> StartAsync(BenchSettings settings, bool postgres, int count, CancellationToken cancellation)
    {
        var from = TimeProvider.System.GetTimestamp();
        var stored = new StoredTasks(await StoreNoop.StartAsync(settings, postgres, cancellation), count / Originals * Originals);
        await stored.FillAsync(cancellation);
        await Console.Error.WriteLineAsync($"{stored.Count} tasks are stored in {(postgres ? "PostgreSQL" : "SQLite")} after {TimeProvider.System.GetElapsedTime(from).TotalSeconds:0} s");
        return stored;
    }

    /// <summary>The route's own query: a page of 50.</summary>
    public async Task ListAsync(StoredFlow flow, CancellationToken cancellation)
    {
        var worker = flow.Worker is null ? null : flow.Worker == "idle" ? _idle.InstanceId : _store.Workstations[0].InstanceId;
        var page = await _store.Services.GetRequiredService<TaskStore>().ListAsync(_store.Caller.OrganizationId, flow.State, flow.Mode, flow.Approval, worker, investigationId: null,
            WireLimits.DefaultPageSize, flow.FromTheMiddle ? _middle : null, cancellation);
        if (page.Items.Count > 0 != flow.Finds) throw new InvalidOperationException($"{flow.Name} found {page.Items.Count} tasks");
    }

    /// <summary>What the long-poll of a workstation asks.</summary>
    public Task PollAsync(CancellationToken cancellation) => Database.ReadAsync(
        sql => _store.Services.GetRequiredService<WorkQuery>().PendingAsync(sql, _store.Caller.OrganizationId, _store.Workstations[0].InstanceId), cancellation);

    /// <summary>One task, created, claimed and completed.</summary>
    public Task RunOneAsync(CancellationToken cancellation) => _store.RunOneAsync(Interlocked.Increment(ref _turn) % StoreNoop.Workers, exitCode: 0, cancellation);

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    private Database Database => _store.Services.GetRequiredService<Database>();

    private async Task FillAsync(CancellationToken cancellation)
    {
        _idle = await _store.AddWorkstationAsync("idle", cancellation);
        var number = -1;
        await SharedWork.PerSecondAsync(Originals, StoreNoop.Workers, async worker => await MakeAsync(worker, Interlocked.Increment(ref number), cancellation));
        await CopyAsync(cancellation);
        await TidyAsync(cancellation);
        _middle = await Database.ReadAsync(sql => sql.FirstAsync<string>("SELECT id FROM tasks ORDER BY id LIMIT 1 OFFSET @half", new { half = Count / 2 }), cancellation) ?? "";
        var found = await Database.ReadAsync(sql => sql.FirstAsync<long>("SELECT count(*) FROM tasks"), cancellation);
        if (found != Count) throw new InvalidOperationException($"{found} tasks are stored, not {Count}");
    }

    /// <summary>Of fifty: one cancelled, three failed, the others succeeded: of the smallest store, too, the failed ones fill a page.</summary>
    private async Task MakeAsync(int worker, int number, CancellationToken cancellation)
    {
        if (number % 50 != 0)
        {
            await _store.RunOneAsync(worker, exitCode: number % 50 is 1 or 18 or 35 ? 1 : 0, cancellation);
            return;
        }
        var created = await _store.Services.GetRequiredService<TaskService>().CreateAsync(_store.Caller, NoopStep.On(_store.Workstations[worker].InstanceId), null, cancellation);
        var cancelled = await _store.Services.GetRequiredService<TaskCanceller>().CancelAsync(_store.Caller, created.TaskId!, "not needed", cancellation);
        if (cancelled.Kind != CancelResultKind.Applied) throw new InvalidOperationException($"task {created.TaskId}: {cancelled.Kind}");
    }

    private async Task CopyAsync(CancellationToken cancellation)
    {
        var copies = Count / Originals - 1;
        if (copies == 0) return;
        var statements = new List<string>();
        foreach (var (table, ids) in Tables)
        {
            await Database.WriteAsync(tx => tx.ExecuteAsync($"CREATE TABLE bench_{table} AS SELECT * FROM {table}"), cancellation);
            var columns = await ColumnsAsync(table, cancellation);
            statements.Add($"INSERT INTO {table} ({string.Join(", ", columns)}) SELECT {string.Join(", ", columns.Select(column => Copied(column, ids)))} FROM bench_{table}");
        }
        // From the oldest to the newest, as they would have come.
        var now = TimeProvider.System.GetUtcNow();
        foreach (var some in Enumerable.Range(1, copies).Reverse().Chunk(CopiesAtOnce))
        {
            await Database.WriteAsync(async tx =>
            {
                foreach (var copy in some)
                {
                    var age = Apart * copy;
                    var arguments = new { stamp = Ids.New("", now - age)[..StampLength], age = (long)age.TotalMilliseconds };
                    foreach (var statement in statements) await tx.ExecuteAsync(statement, arguments);
                }
            }, cancellation);
        }
        foreach (var (table, _) in Tables) await Database.WriteAsync(tx => tx.ExecuteAsync($"DROP TABLE bench_{table}"), cancellation);
    }

    /// <summary>What autovacuum would come by to do in the middle of a round. The product gives SQLite's planner no statistics, so it has none here.</summary>
    private async Task TidyAsync(CancellationToken cancellation)
    {
        if (Database.Provider is not PostgresProvider postgres) return;
        await using var command = postgres.DataSource.CreateCommand("VACUUM ANALYZE");
        command.CommandTimeout = 0;
        await command.ExecuteNonQueryAsync(cancellation);
    }

    private static string Copied(string column, string[] ids) =>
        ids.Contains(column) ? $"substr({column}, 1, length({column}) - {StampLength + RandomLength}) || @stamp || substr({column}, length({column}) - {RandomLength - 1})"
        : column.EndsWith("_at", StringComparison.Ordinal) ? $"{column} - @age"
        : column;

    private Task<IReadOnlyList<string>> ColumnsAsync(string table, CancellationToken cancellation) => Database.ReadAsync(sql => sql.ListAsync<string>(
        Database.Provider.Name == "postgres"
            ? "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = @table"
            : "SELECT name FROM pragma_table_info(@table)", new { table }), cancellation);
}
