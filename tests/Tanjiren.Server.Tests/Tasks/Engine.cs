using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Investigations;
using Tanjiren.Server.Runbooks;
using Tanjiren.Server.Schedules;
using Tanjiren.Server.Secrets;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Tasks.Explain;
using Tanjiren.Server.Tasks.Leases;
using Tanjiren.Server.Tasks.Overview;
using Tanjiren.Server.Tasks.Retries;
using Tanjiren.Server.Tests.Governance;
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

    private readonly HashSet<string> _stored = [];
    private readonly TestDatabase _testDatabase;
    private readonly string? _keyFile;
    private readonly ServiceProvider _services;

    private Engine(TestDatabase testDatabase, ManualTimeProvider clock, string? keyFile)
    {
        (_testDatabase, _keyFile) = (testDatabase, keyFile);
        Clock = clock;
        _services = Build(new Database(DatabaseUrl.Open(testDatabase.Url, clock)));
    }

    public ManualTimeProvider Clock { get; }
    public Database Database => _services.GetRequiredService<Database>();
    public Caller Owner { get; private set; } = null!;

    /// <summary>What the doctrine says to each question; absent: everything is free.</summary>
    public Func<DoctrineQuestion, DoctrineDecision>? Doctrine { get; set; }

    public StepClaimer Claimer => _services.GetRequiredService<StepClaimer>();
    public StepResolver Resolver => _services.GetRequiredService<StepResolver>();
    public LogAppender Logs => _services.GetRequiredService<LogAppender>();
    public TaskCanceller Canceller => _services.GetRequiredService<TaskCanceller>();
    public LeaseReconciler Reconciler => _services.GetRequiredService<LeaseReconciler>();
    public HeartbeatService Heartbeats => _services.GetRequiredService<HeartbeatService>();
    public SessionStore Sessions => _services.GetRequiredService<SessionStore>();
    public ApprovalService Approvals => _services.GetRequiredService<ApprovalService>();
    public ApprovalLoop ApprovalLoop => _services.GetRequiredService<ApprovalLoop>();
    public TaskEditor Editor => _services.GetRequiredService<TaskEditor>();
    public TaskExplainer Explainer => _services.GetRequiredService<TaskExplainer>();
    public RuntimeOverview Overview => _services.GetRequiredService<RuntimeOverview>();
    public WakeUps WakeUps => _services.GetRequiredService<WakeUps>();
    public WorkQuery Work => _services.GetRequiredService<WorkQuery>();
    public RetryLoop Retries => _services.GetRequiredService<RetryLoop>();
    public RetryService Retrying => _services.GetRequiredService<RetryService>();
    public ScheduleLoop Ticks => _services.GetRequiredService<ScheduleLoop>();
    public ScheduleFiring Firing => _services.GetRequiredService<ScheduleFiring>();
    public ScheduleService Schedules => _services.GetRequiredService<ScheduleService>();
    public HeldTasks Held => _services.GetRequiredService<HeldTasks>();
    public TaskStore Store => _services.GetRequiredService<TaskStore>();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <param name="kind">Which database.</param>
    /// <param name="keyFile">Of secrets; without one PostgreSQL keeps none.</param>
    public static async Task<Engine> StartAsync(DatabaseKind kind, string? keyFile = null)
    {
        var clock = new ManualTimeProvider();
        var engine = new Engine(await TestDatabase.CreateAsync(kind, MigrateAsync), clock, keyFile);
        if (kind == DatabaseKind.Postgres)
        {
            // A clock that stands until the test moves it, as SQLite's does on the engine's own.
            await engine.ExecuteAsync($"""
                CREATE TABLE test_clock (now_ms BIGINT NOT NULL);
                INSERT INTO test_clock VALUES ({clock.GetUtcNow().ToUnixTimeMilliseconds()});
                CREATE OR REPLACE FUNCTION tanjiren_now() RETURNS BIGINT LANGUAGE sql VOLATILE AS 'SELECT now_ms FROM test_clock';
                """);
        }
        engine.Owner = await engine.CreateOrganizationAsync("home");
        return engine;
    }

    public object Service(Type type) => _services.GetRequiredService(type);

    /// <summary>Somebody else of the owner's organization.</summary>
    public async Task<Caller> AddMemberAsync(string name, Role role)
    {
        var userId = Ids.New(Ids.User, Clock);
        await ExecuteAsync("""
            INSERT INTO users (id, email, created_at) VALUES (@userId, @email, 0);
            INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES (@OrganizationId, @userId, @role, 0);
            """, new { userId, Owner.OrganizationId, email = name + "@example.test", role = role.ToString().ToLowerInvariant() });
        return Owner with { UserId = userId, Email = name + "@example.test", Role = role };
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
            INSERT INTO instance_keys (id, instance_id, jkt, x, y, created_at) VALUES (@keyId, @instanceId, @keyId, 'x', 'y', 0);
            """,
            new
            {
                keyId = Ids.New(Ids.Key, Clock),
                instanceId = device.InstanceId, organizationId = device.OrganizationId, sessionId = device.SessionId, name, maxConcurrent,
                tags = System.Text.Json.JsonSerializer.Serialize(tags ?? []), now = Clock.GetUtcNow().ToUnixTimeMilliseconds(),
            });
        return device;
    }

    /// <summary>A version of the real doctrine. From the first on it decides for this organization, in place of <see cref="Doctrine"/>.</summary>
    public async Task WriteDoctrineAsync(string organizationId, int version, string document)
    {
        await ExecuteAsync("INSERT INTO doctrine_versions (organization_id, version, document, created_at) VALUES (@organizationId, @version, @document, 0)", new { organizationId, version, document });
        _stored.Add(organizationId);
    }

    public async Task<TaskBody> CreateTaskAsync(CreateTaskRequest request, Caller? by = null)
    {
        var result = await TryCreateTaskAsync(request, by);
        result.Problem?.Value.Detail.ShouldBeNull();
        return await TaskAsync(result.TaskId!);
    }

    public Task<CreateTaskResult> TryCreateTaskAsync(CreateTaskRequest request, Caller? by = null) =>
        _services.GetRequiredService<TaskService>().CreateAsync(by ?? Owner, request, null, Token);

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
            await ExecuteAsync("UPDATE test_clock SET now_ms = now_ms + @ms", new { ms = (long)by.TotalMilliseconds });
    }

    public Task<IReadOnlyList<T>> ListAsync<T>(string sql, object? arguments = null) => Database.ReadAsync(s => s.ListAsync<T>(sql, arguments), Token);

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
              WHERE t.id = @taskId AND (e.open_steps = 0) <> (t.state IN ('planned', 'completed', 'failed', 'cancelled'))
            UNION ALL
            SELECT 'planned task ' || t.id FROM tasks t WHERE t.id = @taskId AND t.state = 'planned' AND (t.approval_status <> 'pending'
              OR EXISTS (SELECT 1 FROM steps s WHERE s.task_id = t.id) OR NOT EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = t.id AND a.state = 'pending'))
            UNION ALL
            SELECT 'queued task without its approval ' || t.id FROM tasks t WHERE t.id = @taskId AND t.state = 'queued' AND t.approval_class <> 'none'
              AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = t.id AND a.state = 'approved' AND a.action_hash = t.action_hash
                AND a.class IN (t.approval_class, 'production_mutation'))
            UNION ALL
            SELECT 'start without an approval ' || s.id FROM steps s WHERE s.task_id = @taskId AND s.state = 'running' AND s.approval_from > 0
              AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = s.task_id AND a.state = 'consumed' AND a.number >= s.approval_from)
            UNION ALL
            SELECT 'approval open after the end of ' || t.id FROM tasks t JOIN approvals a ON a.task_id = t.id
              WHERE t.id = @taskId AND t.ended_at IS NOT NULL AND a.state IN ('pending', 'approved')
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
        services.AddSingleton(new SecretsOptions { KeyFile = _keyFile }).AddSingleton<SecretsKey>().AddSingleton<SecretVault>();
        services.AddSingleton<WakeUps>().AddSingleton<Counters>().AddSingleton<AuditLog>().AddSingleton<InstanceDirectory>().AddSingleton<Idempotency>();
        services.AddSingleton<DoctrineStore>();
        services.AddSingleton(p => new DoctrineGate(p.GetRequiredService<DoctrineStore>(), p.GetRequiredService<ILogger<DoctrineGate>>()) { Budgets = (Doctrines.Ample, Doctrines.Ample) });
        services.AddSingleton<DoctrineJudge>(p => (sql, question) => _stored.Contains(question.OrganizationId) ? p.GetRequiredService<DoctrineGate>().DecideAsync(sql, question)
            : Task.FromResult(Doctrine?.Invoke(question) ?? new DoctrineDecision(ApprovalClass.None, [], false, null, false, 0)));
        services.AddSingleton<DoctrineTags>(p => async (sql, organizationId, snapshot) =>
            _stored.Contains(organizationId) ? await p.GetRequiredService<DoctrineGate>().NamedTagsAsync(sql, organizationId, snapshot) : null);
        services.AddSingleton<TargetResolver>().AddSingleton<TaskPlanner>().AddSingleton<StepWriter>().AddSingleton<TaskEditor>();
        services.AddSingleton<ApprovalGate>().AddSingleton<ApprovalService>().AddSingleton<ApprovalLoop>();
        services.AddSingleton<TaskRequestResolver>().AddSingleton<RunbookDirectory>().AddSingleton<InvestigationDirectory>();
        services.AddSingleton<TaskService>().AddSingleton<TaskStore>().AddSingleton<TaskCanceller>().AddSingleton<TaskEventStream>();
        services.AddSingleton<StepClaimer>().AddSingleton<StepResolver>().AddSingleton<LogAppender>().AddSingleton<LeaseBook>().AddSingleton<WorkQuery>();
        services.AddSingleton<RetryService>().AddSingleton<RetryLoop>().AddSingleton<ScheduleService>().AddSingleton<ScheduleFiring>().AddSingleton<ScheduleLoop>();
        services.AddSingleton<FleetView>().AddSingleton<MissedWakes>().AddSingleton<TaskExplainer>().AddSingleton<RuntimeOverview>();
        services.AddSingleton<SessionStore>().AddSingleton<HeartbeatService>().AddSingleton<AnyDispatcher>().AddSingleton<LeaseReconciler>();
        services.AddSingleton<HeldTasks>();
        return services.BuildServiceProvider();
    }
}
