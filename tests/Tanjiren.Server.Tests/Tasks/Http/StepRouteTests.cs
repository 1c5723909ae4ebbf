using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;
using static Tanjiren.Server.Tests.Tasks.Http.AgentCalls;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>Claim, logs, complete and release over the wire: which status and code an agent gets for what.</summary>
public sealed class StepRouteTests
{
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_claim_grants_repeats_and_refuses(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box", maxConcurrent: 1);
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box") with
        {
            Command = new CommandSpec { Argv = ["sh", "-c", "exit 3"] },
            WorkingDirectory = "/tmp",
            Environment = new Dictionary<string, string> { ["A"] = "b" },
            EnvironmentFromMachine = ["TERM"],
            LeaseGraceSeconds = 7,
            TimeoutSeconds = 60,
        });
        var step = task.StepId();
        var claimId = NewClaimId();
        var granted = await (await agent.TryClaimAsync(step, claimId)).BodyAsync<ClaimResponse>();
        (granted.LeaseGeneration, granted.LeaseTtlMs, granted.LeaseGraceMs, granted.TimeoutMs, granted.WorkingDirectory).ShouldBe((1, 90_000, 7000, 60_000, "/tmp"));
        granted.Command!.Argv.ShouldBe(["sh", "-c", "exit 3"]);
        (granted.Environment!["A"], granted.EnvironmentFromMachine!.Single()).ShouldBe(("b", "TERM"));
        (await (await agent.TryClaimAsync(step, claimId)).BodyAsync<ClaimResponse>()).LeaseGeneration.ShouldBe(1);

        (await agent.TryClaimAsync(step).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NotClaimable)).CurrentState.ShouldBe("running");
        var second = await server.Client.CreateTaskAsync(agent);
        (await agent.TryClaimAsync(second.StepId()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NotClaimable)).Detail!.ShouldContain("maxConcurrent");
        await agent.CompleteAsync(step);
        (await agent.TryClaimAsync(step, claimId).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.LeaseLost)).CurrentState.ShouldBe("succeeded");
        (await agent.TryClaimAsync(second.StepId(), expectedGeneration: 4).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NotClaimable)).CurrentState.ShouldBe("queued");

        await agent.TryClaimAsync("step_nobody").ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await agent.PostAsync($"/api/steps/{step}/claim", new ClaimRequest { ClaimId = "x" }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.Order().ShouldBe(["claimId", "expectedGeneration"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Under_maxParallel_one_the_second_machine_waits(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var a = await server.NewAgentAsync("a");
        using var b = await server.NewAgentAsync("b");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("a", "b"));
        await a.ClaimAsync(task.StepId(0));
        (await b.WorkAsync(0)).Assignments.ShouldBeEmpty();
        (await b.TryClaimAsync(task.StepId(1)).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NotClaimable)).Detail!.ShouldContain("maxParallel");
        var poll = b.WorkAsync(60);
        await a.CompleteAsync(task.StepId(0));
        (await poll).Assignments.Single().StepId.ShouldBe(task.StepId(1));
        await b.ClaimAsync(task.StepId(1));
        await b.CompleteAsync(task.StepId(1));
        (await server.Client.TaskAsync(task.Id)).State.ShouldBe(TaskState.Completed);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Output_is_stored_in_order_deduplicated_and_bounded(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        var step = task.StepId();
        await agent.ClaimAsync(step);
        await agent.AppendAsync(step, Chunk(1, "a"), Chunk(2, "b"));
        await agent.AppendAsync(step, Chunk(2, "b"), Chunk(3, "c"));
        (await agent.TryAppendAsync(step, 1, Chunk(5, "e")).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.LogConflict)).CurrentState.ShouldBe("3");
        (await agent.TryAppendAsync(step, 1, Chunk(3, "other")).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.LogConflict)).CurrentState.ShouldBe("3");
        await agent.TryAppendAsync(step, 2, Chunk(1, "x")).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        async Task<IEnumerable<string>> FieldsAsync(params LogChunk[] chunks) =>
            (await agent.TryAppendAsync(step, 1, chunks).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order();
        (await FieldsAsync()).ShouldBe(["chunks"]);
        (await FieldsAsync([.. Enumerable.Range(4, WireLimits.MaxLogChunksPerRequest + 1).Select(i => Chunk(i, "x"))])).ShouldBe(["chunks"]);
        (await FieldsAsync(Chunk(4, []), Chunk(6, "x"))).ShouldBe(["chunks[0].data", "chunks[1].seq"]);
        (await FieldsAsync(Chunk(4, new byte[WireLimits.MaxLogChunkBytes + 1]))).ShouldBe(["chunks[0].data"]);

        // The largest chunk passes; a body beyond the route's limit does not.
        await agent.AppendAsync(step, Chunk(4, new byte[WireLimits.MaxLogChunkBytes]));
        await agent.TryAppendAsync(step, 1, [.. Enumerable.Range(5, 12).Select(i => Chunk(i, new byte[WireLimits.MaxLogChunkBytes]))])
            .ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.BodyTooLarge);
        // A gibibyte has been stored: what comes now is told apart from a body that is too large.
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE step_claims SET log_bytes = @max WHERE step_id = @step", new { max = WireLimits.MaxStepLogBytes, step }), TestContext.Current.CancellationToken);
        await agent.TryAppendAsync(step, 1, Chunk(5, new byte[WireLimits.MaxLogChunkBytes])).ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.LogLimitReached);
        await agent.AppendAsync(step, Chunk(5, "the agent's marker"));

        var page = await server.Client.GetBodyAsync<Page<LogChunkBody>>($"/api/tasks/{task.Id}/steps/{step}/logs?limit=3");
        var rest = await server.Client.GetBodyAsync<Page<LogChunkBody>>($"/api/tasks/{task.Id}/steps/{step}/logs?limit=3&cursor={page.NextCursor}");
        page.Items.Concat(rest.Items).Select(c => c.Seq).ShouldBe([1, 2, 3, 4, 5]);
        rest.NextCursor.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_result_is_applied_once_and_everything_else_about_it_is_refused(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        var step = task.StepId();
        await agent.ClaimAsync(step);
        async Task<IEnumerable<string>> FieldsAsync(Func<CompleteRequest, CompleteRequest> change) =>
            (await agent.TryCompleteAsync(step, Result(step, change)).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order();
        (await FieldsAsync(_ => new CompleteRequest())).ShouldBe(["finalLogSeq", "leaseGeneration", "outcome"]);
        (await FieldsAsync(r => r with { Outcome = StepOutcome.Failed })).ShouldBe(["reason"]);
        (await FieldsAsync(r => r with { Reason = StepReason.WorkerLost })).ShouldBe(["reason"]);
        (await FieldsAsync(r => r with { OutputPreview = "?", DurationMs = -1, Signal = new string('x', 33), Detail = new string('x', 2001) }))
            .ShouldBe(["detail", "durationMs", "outputPreview", "signal"]);
        (await FieldsAsync(r => r with { Detail = "nul \0", Signal = "\0" })).ShouldBe(["detail", "signal"]);
        var forged = Result(step) with { ExitCode = 1 };
        (await agent.TryCompleteAsync(step, forged).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["resultDigest"]);
        await agent.TryCompleteAsync(step, Result(step, r => r with { LeaseGeneration = 2 })).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.LeaseLost);

        async Task<StepTransitionResponse> CompleteAsync() => await (await agent.TryCompleteAsync(step, Result(step, r => r with { FinalLogSeq = 2 }))).BodyAsync<StepTransitionResponse>();
        (await CompleteAsync()).ShouldBe(new StepTransitionResponse { Result = TransitionResult.Applied, State = StepState.Succeeded });
        (await CompleteAsync()).ShouldBe(new StepTransitionResponse { Result = TransitionResult.AlreadyDone, State = StepState.Succeeded });
        (await agent.TryCompleteAsync(step, Result(step)).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.ResultConflict)).CurrentState.ShouldBe("succeeded");

        // Output up to the announced end still arrives, none beyond it.
        (await server.Client.TaskAsync(task.Id)).Execution!.Steps[0].LogsComplete.ShouldBeFalse();
        await agent.AppendAsync(step, Chunk(1, "late"), Chunk(2, "words"));
        (await server.Client.TaskAsync(task.Id)).Execution!.Steps[0].LogsComplete.ShouldBeTrue();
        await agent.TryAppendAsync(step, 1, Chunk(3, "!")).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.LogConflict);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_largest_numbers_that_a_result_may_have_are_stored(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(task.StepId());
        var result = Result(task.StepId(), r => r with { DurationMs = long.MaxValue, FinalLogSeq = long.MaxValue, LogBytes = long.MaxValue, ExitCode = int.MinValue });
        (await agent.TryCompleteAsync(task.StepId(), result)).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await server.Client.TaskAsync(task.Id)).OutcomeSummary!.ShouldStartWith("Succeeded on box after 92233720368547");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_release_gives_the_step_back_once(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(task.StepId());
        (await (await agent.TryReleaseAsync(task.StepId(), 1)).BodyAsync<StepTransitionResponse>()).State.ShouldBe(StepState.Queued);
        var step = (await server.Client.TaskAsync(task.Id)).Execution!.Steps[0];
        (step.LeaseState, step.LeaseGeneration).ShouldBe((LeaseState.Released, 2));
        (await agent.WorkAsync(0)).Assignments.Single().ExpectedGeneration.ShouldBe(2);
        await agent.TryCompleteAsync(task.StepId(), Result(task.StepId())).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.LeaseLost);
        (await agent.PostAsync($"/api/steps/{task.StepId()}/release", new ReleaseRequest()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.ShouldBe(["leaseGeneration"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_session_and_none_are_told_so_on_every_route(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.ClaimAsync(task.StepId());
        foreach (var session in new[] { null, "", "nonsense", "%00", Ids.New(Ids.Session, TimeProvider.System) })
        {
            using var other = agent.Clone();
            other.SessionId = session;
            await other.TryClaimAsync(task.StepId()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
            await other.TryAppendAsync(task.StepId(), 1, Chunk(1, "x")).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
            await other.TryCompleteAsync(task.StepId(), Result(task.StepId())).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
            await other.TryReleaseAsync(task.StepId(), 1).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
            await other.PostAsync("heartbeat", new HeartbeatRequest()).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
            await other.GetAsync("work", "waitSeconds=0").ProblemAsync(HttpStatusCode.Conflict, ErrorCode.SessionEnded);
        }
        (await server.Client.TaskAsync(task.Id)).Execution!.Steps[0].State.ShouldBe(StepState.Running);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Text_that_a_database_cannot_hold_is_refused_or_kept_out_never_a_500(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewDeviceAsync("box");
        (await agent.PostAsync("sessions", new OpenSessionRequest
        {
            SessionId = Ids.New(Ids.Session, TimeProvider.System), MachineId = "m", BootId = "b", HostName = "\0", AgentVersion = "\0", PreviousSessionIds = ["\0"],
        }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order().ShouldBe(["agentVersion", "hostName"]);
        agent.SessionId = Ids.New(Ids.Session, TimeProvider.System);
        (await agent.PostAsync("sessions", new OpenSessionRequest { SessionId = agent.SessionId, MachineId = "m", BootId = "b" })).EnsureSuccessStatusCode();
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { AgentVersion = "\0" }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.ShouldBe(["agentVersion"]);
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { Labels = new Dictionary<string, string> { ["a"] = "\0" } })).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await agent.PostAsync("heartbeat", new HeartbeatRequest { Leases = [new HeldLease { StepId = "\0", LeaseGeneration = 1, Phase = StepPhase.Running }, null!] })
            .ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["leases[0]", "leases[1]"]);
        (await agent.PostAsync("sessions", new OpenSessionRequest
        {
            SessionId = agent.SessionId, MachineId = "m", BootId = "b", Steps = [new StepReport { StepId = "\0", State = StepReportState.Exited }, null!],
        }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["steps[0]", "steps[1]"]);
        (await agent.GetAsync("work", "waitSeconds=0&cancelsSeen=%00")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }
}
