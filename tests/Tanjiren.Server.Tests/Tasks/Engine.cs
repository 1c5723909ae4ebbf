using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Investigations;
using Tanjiren.Server.Runbooks;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Leases;
using Tanjiren.Server.Workstations;
using Tanjiren.Server.Workstations.Sessions;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>
/// The task engine on a real database, without HTTP: one organization, some workstations with open sessions, a lease clock that the test moves. TTL 10 s,
/// grace 10 s.
/// </summary>
internal sealed class Engine : IAsyncDisposable
{
    public const int TtlSeconds = 10;
    public const int GraceSeconds = 10;

    private readonly TestDatabase _testDatabase;
    private readonly ServiceProvider _services;

    private Engine(TestDatabase testDatabase, ManualTimeProvider clock)
    {
        _testDatabase = testDatabase;
        Clock = clock;
        _services = Build(new Database(DatabaseUrl.Open(testDatabase.Url, clock)));
    }

    public ManualTimeProvider Clock { get; }
    public Database Database => _services.GetRequiredService<Database>();
    public Caller Owner { get; private set; } = null!;

    public StepClaimer Claimer => _services.GetRequiredService<StepClaimer>();
    public StepResolver Resolver => _services.GetRequiredService<StepResolver>();
    public LogAppender Logs => _services.GetRequiredService<LogAppender>();
    public TaskCanceller Canceller => _services.GetRequiredService<TaskCanceller>();
    public LeaseReconciler Reconciler => _services.GetRequiredService<LeaseReconciler>();
    public HeartbeatService Heartbeats => _services.GetRequiredService<HeartbeatService>();
    public SessionStore Sessions => _services.GetRequiredService<SessionStore>();
    public TaskStore Store => _services.GetRequiredService<TaskStore>();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static async Task<Engine> StartAsync(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        var engine = new Engine(await TestDatabase.CreateAsync(kind, MigrateAsync), clock);
        if (kind == DatabaseKind.Postgres)
        {
            // The real clock of the database, plus what the test moves it by.
            await engine.ExecuteAsync("""
                CREATE TABLE test_clock (offset_ms BIGINT NOT NULL);
                INSERT INTO test_clock VALUES (0);
                CREATE OR REPLACE FUNCTION tanjiren_now() RETURNS BIGINT LANGUAGE sql VOLATILE AS
                  'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint + (SELECT offset_ms FROM test_clock)';
                """);
        }
        engine.Owner = await engine.CreateOrganizationAsync("home");
        return engine;
    }

    /// <summary>The same engine over a database whose transactions can be stopped between statements.</summary>
    public ServiceProvider Observed(StatementObserver observer) => Build(new Database(DatabaseUrl.Open(_testDatabase.Url, Clock), observer));

    public async Task<Caller> CreateOrganizationAsync(string name)
    {
        var (organizationId, userId) = (Ids.New(Ids.Organization, Clock), Ids.New(Ids.User, Clock));
        await ExecuteAsync("""
            INSERT INTO organizations (id, name, created_at) VALUES (@organizationId, @name, 0);
            INSERT INTO users (id, email, created_at) VALUES (@userId, @email, 0);
            INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@organizationId, @userId, 'owner', 0);
            """, new { organizationId, userId, name, email = name + "@example.test" });
        return new Caller(userId, name + "@example.test", organizationId, name, Role.Owner, Ids.New(Ids.Token, Clock), null);
    }

    public async Task<Device> AddWorkstationAsync(string name, string[]? tags = null, int maxConcurrent = 10, Caller? owner = null)
    {
        var device = new Device(Ids.New(Ids.Instance, Clock), (owner ?? Owner).OrganizationId, "jkt-" + name, Ids.New(Ids.Session, Clock));
        await ExecuteAsync("""
            INSERT INTO instances (id, organization_id, name, tags, max_concurrent, last_heartbeat_at, created_at)
            VALUES (@instanceId, @organizationId, @name, @tags, @maxConcurrent, @now, 0);
            INSERT INTO instance_sessions (id, instance_id, machine_id, boot_id, host_name, opened_at, last_seen)
            VALUES (@sessionId, @instanceId, @name, 'boot', @name, 0, tanjiren_now());
            """,
            new
            {
                instanceId = device.InstanceId, organizationId = device.OrganizationId, sessionId = device.SessionId, name, maxConcurrent,
                tags = System.Text.Json.JsonSerializer.Serialize(tags ?? []), now = Clock.GetUtcNow().ToUnixTimeMilliseconds(),
            });
        return device;
    }

    public async Task<TaskBody> CreateTaskAsync(CreateTaskRequest request)
    {
        var result = await _services.GetRequiredService<TaskService>().CreateAsync(Owner, request, null, Token);
        result.Problem?.Value.Detail.ShouldBeNull();
        return await TaskAsync(result.TaskId!);
    }

    /// <summary>A command on each of these workstations.</summary>
    public Task<TaskBody> CreateTaskAsync(IEnumerable<Device> targets, int maxParallel = 1, OnWorkerLost onWorkerLost = OnWorkerLost.Fail,
        int? stopAfterFailures = null) => CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] },
            Targets = new TargetSpec { Workstations = [.. targets.Select(t => t.InstanceId)] },
            MaxParallel = maxParallel,
            OnWorkerLost = onWorkerLost,
            StopAfterFailures = stopAfterFailures,
        });

    public async Task<TaskBody> TaskAsync(string taskId) => (await Store.FindAsync(Owner.OrganizationId, taskId, Token))!;

    public async Task<StepBody> StepAsync(TaskBody task, int ordinal = 0) => (await TaskAsync(task.Id)).Execution!.Steps[ordinal];

    public Task<ClaimResult> ClaimAsync(Device device, StepBody step, string? claimId = null, long? expectedGeneration = null) =>
        Claimer.ClaimAsync(device, step.Id, claimId ?? NewClaimId(), expectedGeneration ?? step.LeaseGeneration, Token);

    public Task<StepMove> CompleteAsync(Device device, string stepId, long generation, StepOutcome outcome = StepOutcome.Succeeded, StepReason? reason = null,
        int? exitCode = null) => Resolver.CompleteAsync(device, stepId, Result(stepId, generation, outcome, reason, exitCode), Token);

    public static CompleteRequest Result(string stepId, long generation, StepOutcome outcome = StepOutcome.Succeeded, StepReason? reason = null, int? exitCode = null)
    {
        var result = new CompleteRequest
        {
            LeaseGeneration = generation, Outcome = outcome, Reason = reason ?? (outcome == StepOutcome.Failed ? StepReason.ExitCode : null),
            ExitCode = exitCode ?? (outcome == StepOutcome.Succeeded ? 0 : 1), DurationMs = 5, FinalLogSeq = 0,
        };
        return result with { ResultDigest = ResultDigest.Compute(stepId, result) };
    }

    public Task<HeartbeatResponse?> BeatAsync(Device device, params (string StepId, long Generation)[] held) => Heartbeats.BeatAsync(device, new HeartbeatRequest
    {
        MaxConcurrent = 10,
        Leases = [.. held.Select(h => new HeldLease { StepId = h.StepId, LeaseGeneration = h.Generation, Phase = StepPhase.Running })],
    }, Token);

    /// <summary>Moves all clocks together, a second at a time, with a pass of the reconciler after each: a server that serves without a gap.</summary>
    public async Task ServeAsync(int seconds)
    {
        for (var i = 0; i < seconds; i++)
        {
            await MoveClocksAsync(TimeSpan.FromSeconds(1));
            await Reconciler.RunOnceAsync(Token);
        }
    }

    /// <summary>Moves the clocks at once, as a server that was away sees them.</summary>
    public async Task MoveClocksAsync(TimeSpan by)
    {
        Clock.Advance(by);
        if (_testDatabase.Kind == DatabaseKind.Postgres)
            await ExecuteAsync("UPDATE test_clock SET offset_ms = offset_ms + @ms", new { ms = (long)by.TotalMilliseconds });
    }

    public Task<T> QueryAsync<T>(string sql, object? arguments = null) => Database.ReadAsync(s => s.FirstAsync<T>(sql, arguments), Token)!;

    public Task ExecuteAsync(string sql, object? arguments = null) => Database.WriteAsync(tx => tx.ExecuteAsync(sql, arguments), Token);

    public string NewClaimId() => Ids.New(Ids.Claim, Clock);

    /// <summary>What must hold of every task at every moment; the CHECK constraints hold the rest.</summary>
    public async Task CheckInvariantsAsync(string taskId)
    {
        var broken = await QueryAsync<string?>("""
            SELECT 'counters of ' || e.task_id FROM executions e WHERE e.task_id = @taskId AND (
                 e.active_steps <> (SELECT count(*) FROM steps s WHERE s.task_id = e.task_id AND s.state = 'running')
              OR e.open_steps <> (SELECT count(*) FROM steps s WHERE s.task_id = e.task_id AND s.state IN ('queued', 'running'))
              OR e.failed_steps <> (SELECT count(*) FROM steps s WHERE s.task_id = e.task_id AND s.state = 'failed'))
            UNION ALL
            SELECT 'end of ' || t.id FROM tasks t JOIN executions e ON e.task_id = t.id
              WHERE t.id = @taskId AND (e.open_steps = 0) <> (t.state IN ('completed', 'failed', 'cancelled'))
            UNION ALL
            SELECT 'events of ' || e.task_id FROM executions e WHERE e.task_id = @taskId AND e.event_seq <>
              (SELECT count(*) FROM step_events v WHERE v.task_id = e.task_id) + (SELECT count(*) FROM step_logs l WHERE l.task_id = e.task_id)
            UNION ALL
            SELECT 'summary of ' || t.id FROM tasks t
              WHERE t.id = @taskId AND (SELECT count(*) FROM artifacts a WHERE a.task_id = t.id AND a.kind = 'summary') <> CASE WHEN t.ended_at IS NULL THEN 0 ELSE 1 END
            UNION ALL
            SELECT 'queued task with a claim ' || t.id FROM tasks t
              WHERE t.id = @taskId AND t.state = 'queued' AND EXISTS (SELECT 1 FROM steps s WHERE s.task_id = t.id AND s.attempts > 0)
            """, new { taskId });
        broken.ShouldBeNull();
    }

    public async ValueTask DisposeAsync()
    {
        await _services.DisposeAsync();
        await _testDatabase.DisposeAsync();
    }

    private static async Task MigrateAsync(string url)
    {
        await using var database = new Database(DatabaseUrl.Open(url, TimeProvider.System));
        using var logging = LoggerFactory.Create(_ => { });
        await new Migrator(database, TimeProvider.System, logging.CreateLogger<Migrator>()).MigrateAsync(Token);
    }

    private ServiceProvider Build(Database database)
    {
        var services = new ServiceCollection();
        services.AddLogging().AddMetrics().AddSingleton<RunMetrics>();
        services.AddSingleton<TimeProvider>(Clock);
        services.AddSingleton(database);
        services.AddSingleton(new LeaseOptions { TtlSeconds = TtlSeconds, GraceSeconds = GraceSeconds, DeadlineSlackSeconds = 5 });
        services.AddSingleton(new WorkstationOptions()).AddSingleton(new HostingOptions());
        services.AddSingleton<WakeUps>().AddSingleton<Counters>().AddSingleton<AuditLog>().AddSingleton<InstanceDirectory>().AddSingleton<Idempotency>();
        services.AddSingleton<TaskRequestResolver>().AddSingleton<RunbookDirectory>().AddSingleton<InvestigationDirectory>();
        services.AddSingleton<TaskService>().AddSingleton<TaskStore>().AddSingleton<TaskCanceller>().AddSingleton<TaskEventStream>();
        services.AddSingleton<StepClaimer>().AddSingleton<StepResolver>().AddSingleton<LogAppender>().AddSingleton<LeaseBook>().AddSingleton<WorkQuery>();
        services.AddSingleton<SessionStore>().AddSingleton<HeartbeatService>().AddSingleton<AnyDispatcher>().AddSingleton<LeaseReconciler>();
        return services.BuildServiceProvider();
    }
}
