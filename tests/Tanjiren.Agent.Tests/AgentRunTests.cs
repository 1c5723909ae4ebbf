using System.Diagnostics;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests;

public sealed class AgentRunTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
    }

    public async ValueTask DisposeAsync()
    {
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task A_command_prints_to_both_streams_and_its_exit_code_decides()
    {
        await agent.StartAsync();
        var step = server.Shell("echo out; echo err >&2; exit 7");

        var result = await ResultAsync(step);

        (result.Outcome, result.Reason, result.ExitCode).ShouldBe((StepOutcome.Failed, StepReason.ExitCode, 7));
        step.Output(LogStream.Stdout).ShouldBe("out\n");
        step.Output(LogStream.Stderr).ShouldBe("err\n");
        result.FinalLogSeq.ShouldBe(step.Chunks.Count);
        result.LogBytes.ShouldBe(8);
    }

    /// <summary>Behind a proxy that lets no request hang, the heartbeat's answer is the only road (W-05).</summary>
    [Fact]
    public async Task Work_that_only_a_heartbeat_brings_is_taken()
    {
        server.Refuse("work", 503, ErrorCode.Unavailable, count: 10_000);
        server.PendingInHeartbeats = true;
        var step = server.Shell("echo out");
        await agent.StartAsync();

        (await ResultAsync(step)).Outcome.ShouldBe(StepOutcome.Succeeded);
    }

    [Fact]
    public async Task A_job_is_told_its_step_task_and_generation()
    {
        await agent.StartAsync();
        var step = server.Shell("echo $TANJIREN_STEP_ID $TANJIREN_TASK_ID $TANJIREN_LEASE_GENERATION");

        await ResultAsync(step);

        step.Output().ShouldBe($"{step.Id} {step.TaskId} 1\n");
    }

    [Fact]
    public async Task A_program_that_does_not_exist_fails_as_spawnFailed()
    {
        await agent.StartAsync();
        var step = server.Enqueue("/no/such/program");

        var result = await ResultAsync(step);

        result.Reason.ShouldBe(StepReason.SpawnFailed);
        result.Detail!.ShouldContain("/no/such/program");
    }

    [Fact]
    public async Task A_lost_claim_answer_is_repeated_with_the_same_claim_id_and_runs_once()
    {
        server.LoseAnswers("claim", 2);
        await agent.StartAsync();
        var step = server.Shell($"echo ran >> {agent.File("ran")}");

        await ResultAsync(step);

        server.Claims.Count.ShouldBe(3);
        server.Claims.Select(c => c.ClaimId).Distinct().Count().ShouldBe(1);
        (await File.ReadAllTextAsync(agent.File("ran"), Ct)).ShouldBe("ran\n");
    }

    [Fact]
    public async Task A_lost_complete_answer_is_repeated_with_the_same_digest()
    {
        server.LoseAnswers("complete", 2);
        await agent.StartAsync();
        var step = server.Enqueue("/bin/true");

        await ResultAsync(step);
        await Eventually.TrueAsync(() => server.Completes.Count == 3);

        server.Completes.Select(c => c.ResultDigest).Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task Lost_log_answers_lose_and_double_nothing()
    {
        server.LoseAnswers("logs", 3);
        await agent.StartAsync();
        var step = server.Shell("for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done");

        await ResultAsync(step);

        step.Output().ShouldBe(string.Concat(Enumerable.Range(1, 9).Select(i => $"line {i}\n")));
    }

    [Fact]
    public async Task A_refused_claim_is_tried_again_without_a_hot_loop()
    {
        server.Refuse("claim", 409, ErrorCode.NotClaimable, count: 3);
        await agent.StartAsync();
        var began = Stopwatch.GetTimestamp();
        var step = server.Enqueue("/bin/true");

        await ResultAsync(step);

        server.Claims.Count.ShouldBe(1);
        server.Count("claim").ShouldBe(4);
        server.Claims.Single().ClaimId.ShouldNotBeNull();
        // At most one poll in 10 ms, besides those that the claims bring about; a hot loop makes thousands in a second.
        server.Count("work").ShouldBeLessThan(60 + (int)(Stopwatch.GetElapsedTime(began).TotalMilliseconds / 10));
    }

    [Fact]
    public async Task Steps_run_side_by_side_up_to_the_capacity()
    {
        agent.MaxConcurrent = 2;
        await agent.StartAsync();
        var steps = Enumerable.Range(0, 3).Select(_ => server.Shell($"echo x >> {agent.File("started")}; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done")).ToList();

        await Eventually.TrueAsync(() => Lines("started") == 2);
        steps.Count(s => s.Held).ShouldBe(2);
        await File.WriteAllTextAsync(agent.File("go"), "", Ct);

        foreach (var step in steps) (await ResultAsync(step)).Outcome.ShouldBe(StepOutcome.Succeeded);
    }

    [Fact]
    public async Task A_cancel_reaches_an_agent_at_full_capacity_and_ends_the_step_as_cancelled()
    {
        agent.MaxConcurrent = 1;
        await agent.StartAsync();
        var step = server.Shell("echo up; exec sleep 1000");
        await Eventually.TrueAsync(() => step.Output().Contains("up"));

        server.Cancel(step);

        var result = await ResultAsync(step);
        (result.Outcome, result.Reason, result.Signal).ShouldBe((StepOutcome.Cancelled, StepReason.Cancelled, "SIGTERM"));
    }

    [Fact]
    public async Task A_cancel_before_the_start_starts_nothing()
    {
        var step = server.Add(new FakeStep { Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Shell = $"touch {agent.File("ran")}" }, CancelRequested = true });
        await agent.StartAsync();

        (await ResultAsync(step)).Outcome.ShouldBe(StepOutcome.Cancelled);

        File.Exists(agent.File("ran")).ShouldBeFalse();
    }

    [Fact]
    public async Task A_step_over_its_deadline_is_killed_and_fails_as_timeout()
    {
        await agent.StartAsync();
        // On a slow machine the deadline may pass before the step was started.
        foreach (var timeoutMs in new[] { 300, 5000, 30_000 })
        {
            var step = server.Add(new FakeStep
            {
                Id = Ids.New(Ids.Step, TimeProvider.System),
                Command = new CommandSpec { Shell = "trap '' TERM; while :; do sleep 0.1; done" },
                TimeoutMs = timeoutMs,
            });
            var result = await ResultAsync(step);
            (result.Outcome, result.Reason).ShouldBe((StepOutcome.Failed, StepReason.Timeout));
            if (result.Signal == "SIGKILL") return;
        }
        Assert.Fail("no step was killed");
    }

    [Fact]
    public async Task Output_over_the_limit_is_counted_marked_and_dropped()
    {
        agent.MaxStepLogBytes = 2000;
        await agent.StartAsync();
        var step = server.Shell("head -c 5000 /dev/zero | tr '\\0' a");

        var result = await ResultAsync(step);

        result.Truncated.ShouldBeTrue();
        result.LogBytes.ShouldBe(2000);
        step.Output(LogStream.Stdout).Length.ShouldBe(2000);
        step.Output(LogStream.System).ShouldContain("limit of 2000 bytes");
        step.Output(LogStream.System).ShouldContain("3000 more bytes");
        Convert.FromBase64String(result.OutputPreview!).Length.ShouldBe(WireLimits.MaxOutputPreviewBytes);
    }

    [Fact]
    public async Task Bytes_that_are_not_text_survive()
    {
        await agent.StartAsync();
        var step = server.Shell(@"printf '\377\376\000\033[31m'");

        await ResultAsync(step);

        step.Chunks.Values.SelectMany(c => c.Data).ShouldBe([0xff, 0xfe, 0x00, 0x1b, (byte)'[', (byte)'3', (byte)'1', (byte)'m']);
    }

    [Fact]
    public async Task A_step_that_was_given_away_is_killed_and_nothing_is_reported()
    {
        await agent.StartAsync();
        server.TtlMs = 600; // renewals every 200 ms
        var step = server.Shell("echo $$; exec sleep 1000");
        await Eventually.TrueAsync(() => step.Output().Length > 0);
        var pid = int.Parse(step.Output());

        server.TakeAway(step);

        await Eventually.TrueAsync(() => !Directory.Exists($"/proc/{pid}"));
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Steps.Count == 0);
        server.Completes.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_server_that_is_away_while_a_step_runs_gets_output_and_result_when_it_is_back()
    {
        await agent.StartAsync();
        var step = server.Shell($"echo up; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done; echo done");
        await Eventually.TrueAsync(() => step.Output().Contains("up"));

        server.Down = true;
        await File.WriteAllTextAsync(agent.File("go"), "", Ct);
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Steps.Any(s => s.Phase == "uploading"));
        server.Down = false;

        (await ResultAsync(step)).Outcome.ShouldBe(StepOutcome.Succeeded);
        step.Output().ShouldBe("up\ndone\n");
    }

    [Theory]
    [InlineData(302)]
    [InlineData(400)]
    [InlineData(403)]
    [InlineData(404)]
    [InlineData(413)]
    public async Task A_proxys_pages_cost_neither_output_nor_result(int status)
    {
        server.Intercept("logs", status, count: 2);
        server.Intercept("complete", status, count: 2);
        await agent.StartAsync();
        var step = server.Shell("echo out; exit 7");

        (await ResultAsync(step)).ExitCode.ShouldBe(7);
        step.Output().ShouldBe("out\n");
    }

    [Fact]
    public async Task Output_goes_in_smaller_batches_through_a_proxy_that_takes_less()
    {
        server.LargestBody = 100_000;
        await agent.StartAsync();
        var go = server.Hold("logs");
        var step = server.Shell("for i in 1 2 3 4 5 6 7 8; do head -c 30000 /dev/zero | tr '\\0' a; sleep 0.05; done");
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Steps.Any(s => s.Phase == "uploading"));

        go.SetResult();

        await ResultAsync(step);
        await Eventually.TrueAsync(() => step.Output().Length == 240_000);
    }

    [Fact]
    public async Task A_chunk_that_got_no_answer_after_a_conflict_is_not_passed_over()
    {
        await agent.StartAsync();
        var go = server.Hold("logs");
        var step = server.Shell("echo a; sleep 0.1; echo b >&2; sleep 0.1; echo c");
        await Eventually.TrueAsync(() => AgentStatus.Load(agent.Home)!.Steps.Any(s => s.Phase == "uploading"));
        server.Refuse("logs", 503, ErrorCode.Unavailable); // what was sent before the others were there
        server.Refuse("logs", 409, ErrorCode.LogConflict); // all of them
        server.Refuse("logs", 503, ErrorCode.Unavailable); // the first one alone

        go.SetResult();

        await ResultAsync(step);
        await Eventually.TrueAsync(() => step.Output() == "a\nb\nc\n", () => step.Output());
    }

    [Fact]
    public async Task A_server_that_lost_output_gets_it_again()
    {
        await agent.StartAsync();
        var step = server.Shell($"echo up; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done; echo done");
        await Eventually.TrueAsync(() => step.Output().Contains("up"));
        lock (step.Chunks) step.Chunks.Clear();

        await File.WriteAllTextAsync(agent.File("go"), "", Ct);

        await ResultAsync(step);
        await Eventually.TrueAsync(() => step.Output() == "up\ndone\n", () => step.Output());
    }

    [Fact]
    public async Task More_cancels_than_a_poll_can_name_make_no_hot_loop()
    {
        await agent.StartAsync();
        foreach (var _ in Enumerable.Range(0, 200))
            server.Add(new FakeStep { Id = Ids.New(Ids.Step, TimeProvider.System), Command = new CommandSpec { Shell = ":" }, Queued = false, Held = true, CancelRequested = true });
        await Eventually.TrueAsync(() => server.Count("work") > 5);
        var (before, began) = (server.Count("work"), TimeProvider.System.GetTimestamp());

        await Eventually.TrueAsync(() => server.Count("work") >= before + 30);

        // Each waits for half of RefusalPause at least.
        TimeProvider.System.GetElapsedTime(began).ShouldBeGreaterThan(AgentHarness.Fast.RefusalPause * 0.5 * 25);
    }

    [Fact]
    public async Task A_running_lease_is_renewed_with_its_phase_and_a_fresh_tick()
    {
        server.TtlMs = 600;
        await agent.StartAsync();
        var step = server.Shell("echo up; exec sleep 1000");
        await Eventually.TrueAsync(() => step.Output().Length > 0);
        var before = server.Heartbeats.Count;

        await Eventually.TrueAsync(() => server.Heartbeats.Count > before + 3);

        var lease = server.Heartbeats.Last().Leases!.Single();
        (lease.Phase, lease.LeaseGeneration, lease.LastLogSeq).ShouldBe((StepPhase.Running, 1L, 1L));
        lease.TickAgeMs.ShouldBeLessThan(5000);
    }

    private int Lines(string name) => File.Exists(agent.File(name)) ? File.ReadAllLines(agent.File(name)).Length : 0;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    private static async Task<CompleteRequest> ResultAsync(FakeStep step)
    {
        await Eventually.TrueAsync(() => step.Result is not null, () => $"output so far: {step.Output()}");
        return step.Result!;
    }
}
