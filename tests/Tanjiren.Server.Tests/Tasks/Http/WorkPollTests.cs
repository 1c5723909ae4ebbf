using System.Diagnostics;
using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Tanjiren.Protocol;
using Tanjiren.Server.Data.Postgres;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>How work reaches a machine: the hanging poll, the heartbeat's floor, and who is woken first.</summary>
public sealed class WorkPollTests
{
    private const int LongWait = WireLimits.MaxWaitSeconds;

    /// <summary>Well inside the poll's time, and generous for a loaded machine: an answer within it was a wake-up, not the end of the wait.</summary>
    private static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(LongWait / 2.0);

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_hanging_poll_and_a_hanging_heartbeat_answer_at_once_on_creation(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var second = agent.Clone();
        var poll = TimedAsync(agent.WorkAsync(LongWait));
        var beat = TimedAsync(second.BeatAsync(waitSeconds: LongWait));
        var task = await server.Client.CreateTaskAsync(agent);
        var work = await poll;
        (work.Assignments.Single().StepId, work.Assignments[0].TaskId, work.Assignments[0].ExpectedGeneration, work.Cancels.Count).ShouldBe((task.StepId(), task.Id, 0, 0));
        (await beat).PendingTasks.Single().StepId.ShouldBe(task.StepId());
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_machine_that_is_offline_is_given_nothing_until_it_beats_again(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        (await agent.WorkAsync(0)).Assignments.Count.ShouldBe(1);

        clock.Advance(TimeSpan.FromSeconds(121));
        (await agent.WorkAsync(0)).Assignments.ShouldBeEmpty();
        (await agent.BeatAsync()).PendingTasks.Single().StepId.ShouldBe(task.StepId());
        (await agent.WorkAsync(0)).Assignments.Count.ShouldBe(1);
    }

    /// <summary>Not answered they would be cut off when the host's patience (30 s) is over, which the caller sees as an error.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_server_that_stops_answers_what_hangs(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var second = agent.Clone();
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(task.StepId());
        await using var events = await EventReader.OpenAsync(server.Client, task.Id);
        (await events.ReadAsync()).ShouldNotBeNull();
        var poll = TimedAsync(agent.WorkAsync(LongWait));
        var beat = TimedAsync(second.BeatAsync(waitSeconds: LongWait));
        var loops = server.App.Services.GetServices<IHostedService>().OfType<DueLoop>().Count();
        await Eventually.TrueAsync(() => server.App.Services.GetRequiredService<WakeUps>().Subscriptions == loops + 3, what: "poll, heartbeat and stream hang");

        await server.App.StopAsync(Cancelled);
        (await poll).Assignments.ShouldBeEmpty();
        (await beat).PendingTasks.ShouldBeEmpty();
        (await events.ReadToEndAsync()).ShouldNotContain(e => e.Name == "end", "the task has not ended; the reader comes back");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Without_capacity_only_a_cancel_wakes_and_only_until_it_was_seen(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var running = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(running.StepId());
        await server.Client.CreateTaskAsync(agent);
        (await agent.WorkAsync(0, capacity: 0)).Assignments.ShouldBeEmpty();

        var poll = TimedAsync(agent.WorkAsync(LongWait, capacity: 0));
        await server.Client.CancelAsync(running.Id);
        var work = await poll;
        work.Assignments.ShouldBeEmpty();
        work.Cancels.Single().ShouldBe(new LeaseNotice { StepId = running.StepId(), LeaseGeneration = 1 });
        (await agent.WorkAsync(0, capacity: 0, cancelsSeen: running.StepId())).Cancels.ShouldBeEmpty();
        (await agent.WorkAsync(0, capacity: 0, cancelsSeen: "step_other")).Cancels.Count.ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_draining_machine_is_given_nothing_until_it_is_undrained(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        (await server.Client.PostAsync("/api/instances/box/drain", null, Cancelled)).EnsureSuccessStatusCode();
        var task = await server.Client.CreateTaskAsync(agent);
        (await agent.WorkAsync(0)).Assignments.ShouldBeEmpty();
        (await agent.BeatAsync()).PendingTasks.ShouldBeEmpty();
        (await agent.TryClaimAsync(task.StepId()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NotClaimable)).Detail!.ShouldContain("draining");

        var poll = TimedAsync(agent.WorkAsync(LongWait));
        (await server.Client.PostAsync("/api/instances/box/undrain", null, Cancelled)).EnsureSuccessStatusCode();
        (await poll).Assignments.Single().StepId.ShouldBe(task.StepId());
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { Draining = true })).EnsureSuccessStatusCode();
        (await agent.WorkAsync(0)).Assignments.ShouldBeEmpty("an agent that stops says so itself");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_heartbeat_carries_at_most_ten_steps_most_urgent_first(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box", ["gpu"]);
        var urgent = new List<string>();
        for (var i = 0; i < 14; i++)
        {
            var request = i % 2 == 0 ? TaskCalls.On("box") : TaskCalls.AnyTagged("gpu");
            var task = await server.Client.CreateTaskAsync(request with { Priority = i >= 11 ? i : 0 });
            if (i >= 11) urgent.Insert(0, task.StepId());
        }
        var answer = await agent.BeatAsync();
        answer.PendingTasks.Count.ShouldBe(10);
        answer.PendingTasks.Take(3).Select(p => p.StepId).ShouldBe(urgent);
        answer.PendingTasks.Skip(3).Select(p => p.StepId).ShouldBe(answer.PendingTasks.Skip(3).Select(p => p.StepId).Order(StringComparer.Ordinal), "oldest first");
        answer.NextHeartbeatSeconds.ShouldBeInRange(30, 60);
        (await agent.WorkAsync(0)).Assignments.Select(a => a.StepId).ShouldBe(answer.PendingTasks.Select(p => p.StepId));

        foreach (var (query, field) in new[] { ("waitSeconds=61", "waitSeconds"), ("waitSeconds=-1", "waitSeconds"), ("capacity=-1", "capacity") })
            (await agent.GetAsync("work", query).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe([field]);
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { MaxConcurrent = 0, WaitSeconds = 61, ActiveTaskCount = -1 })
            .ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order().ShouldBe(["activeTaskCount", "maxConcurrent", "waitSeconds"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Any_wakes_the_least_loaded_machine_first_and_the_next_when_it_does_not_claim(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var busy = await server.NewAgentAsync("busy", ["gpu"], maxConcurrent: 2);
        using var idle = await server.NewAgentAsync("idle", ["gpu"], maxConcurrent: 2);
        using var unfit = await server.NewAgentAsync("unfit", ["cpu"]);
        await busy.ClaimAsync((await server.Client.CreateTaskAsync(busy)).StepId());

        var wakeUps = server.App.Services.GetRequiredService<WakeUps>();
        using var busyHint = wakeUps.Subscribe(WakeUps.Work(busy.InstanceId));
        using var unfitHint = wakeUps.Subscribe(WakeUps.Work(unfit.InstanceId));
        var poll = idle.WorkAsync(LongWait);
        var task = await server.Client.CreateTaskAsync(TaskCalls.AnyTagged("gpu"));

        // The manual clock stands still, so nothing but the wake-up can end these waits.
        (await poll).Assignments.Single().StepId.ShouldBe(task.StepId());
        (await busyHint.WaitAsync(TimeSpan.Zero, TimeProvider.System, Cancelled)).ShouldBeFalse("the best one has 250 ms for itself");
        var steps = 0;
        var next = busyHint.WaitAsync(AtOnce, TimeProvider.System, Cancelled);
        await Eventually.TrueAsync(() =>
        {
            if (steps++ < 40) clock.Advance(TimeSpan.FromMilliseconds(250));
            return next.IsCompleted;
        });
        (await next).ShouldBeTrue();
        (await busy.WorkAsync(0)).Assignments.Single().StepId.ShouldBe(task.StepId());
        (await unfitHint.WaitAsync(TimeSpan.Zero, TimeProvider.System, Cancelled)).ShouldBeFalse();
        (await unfit.WorkAsync(0)).Assignments.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_task_made_at_one_server_wakes_the_poll_and_the_stream_at_another()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        await using var here = await ServerFixture.StartAsync(database.Url);
        await using var there = await ServerFixture.StartAsync(database.Url);
        await Eventually.TrueAsync(async () => await here.Database.ReadAsync(sql => sql.FirstAsync<long>(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"), Cancelled) == 2, what: "both servers listen");
        using var agent = await there.NewAgentAsync("box");
        for (var round = 0; round < 5; round++)
        {
            var poll = TimedAsync(agent.WorkAsync(LongWait));
            var task = await here.Client.CreateTaskAsync(agent);
            (await poll).Assignments.Single().StepId.ShouldBe(task.StepId());
            await using var stream = await EventReader.OpenAsync(there.Client, task.Id);
            (await stream.ReadAsync())!.Body.Task!.State.ShouldBe(TaskState.Queued);
            var cancelled = TimedAsync(stream.ReadAsync(), TimeSpan.FromSeconds(10)); // the stream looks by itself every 15 s
            await here.Client.CancelAsync(task.Id);
            (await cancelled)!.Body.Task!.State.ShouldBe(TaskState.Cancelled);
        }
    }

    /// <summary>All that a suspended agent keeps: it is online and ready by it, and found for a step of its own as well as for one that anybody may run.</summary>
    [Fact]
    public async Task A_hanging_heartbeat_is_ready_and_woken_from_another_server()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        await using var here = await ServerFixture.StartAsync(database.Url);
        await using var there = await ServerFixture.StartAsync(database.Url);
        await Eventually.TrueAsync(async () => await here.Database.ReadAsync(sql => sql.FirstAsync<long>(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"), Cancelled) == 2, what: "both servers listen");
        using var agent = await there.NewAgentAsync("box", ["gpu"]);
        foreach (var request in new[] { TaskCalls.On("box"), TaskCalls.AnyTagged("gpu") })
        {
            var beat = TimedAsync(agent.BeatAsync(waitSeconds: LongWait));
            var worker = await here.Client.GetBodyAsync<WorkerBody>("/api/workers/worker:" + agent.InstanceId);
            (worker.Status, worker.Readiness.Ready).ShouldBe((WorkerStatus.Ready, true));
            var task = await here.Client.CreateTaskAsync(request);
            (await beat).PendingTasks.Single().StepId.ShouldBe(task.StepId());
            await agent.ClaimAsync(task.StepId());
            await agent.CompleteAsync(task.StepId());
        }
    }

    [Fact]
    public async Task Hints_go_on_between_servers_when_the_database_cut_their_connections()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Postgres, ServerFixture.MigrateAsync);
        await using var here = await ServerFixture.StartAsync(database.Url);
        await using var there = await ServerFixture.StartAsync(database.Url);
        Task<long> ListeningAsync() => here.Database.ReadAsync(sql => sql.FirstAsync<long>(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"), Cancelled);
        await Eventually.TrueAsync(async () => await ListeningAsync() == 2, what: "both servers listen");
        using var agent = await there.NewAgentAsync("box");

        (await here.Database.ReadAsync(sql => sql.ListAsync<bool>(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = @name", new { name = PostgresProvider.LastingName }), Cancelled))
            .Count.ShouldBe(4);
        await Eventually.TrueAsync(async () => await ListeningAsync() == 2, what: "both servers listen again");
        // The sender finds out only now, and must not lose what it was about to send.
        var poll = TimedAsync(agent.WorkAsync(LongWait));
        var task = await here.Client.CreateTaskAsync(agent);
        (await poll).Assignments.Single().StepId.ShouldBe(task.StepId());
    }

    private static async Task<T> TimedAsync<T>(Task<T> answer, TimeSpan? limit = null)
    {
        var watch = Stopwatch.StartNew();
        var result = await answer;
        watch.Elapsed.ShouldBeLessThan(limit ?? AtOnce);
        return result;
    }
}
