using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>jobs list</c>, <c>update</c> and <c>approve</c> against a real control plane.</summary>
public sealed class JobCommandsTests : IAsyncLifetime
{
    private LocalServer server = null!;

    public async ValueTask InitializeAsync() => server = await LocalServer.StartAsync();

    public ValueTask DisposeAsync() => server.DisposeAsync();

    [Fact]
    public async Task Jobs_are_listed_by_mode_approval_and_workstation()
    {
        var lab = await server.JsonAsync(WireJson.Default.InstanceBody, "workstations", "create", "lab");
        var inBox = await server.IdAsync("jobs", "run", "-d", "-w", "box", "--", "true");
        var inLab = await server.IdAsync("jobs", "run", "-d", "-w", "lab", "--", "true");
        var waiting = await server.IdAsync("jobs", "run", "-d", "-w", "lab", "--approval-class", "sensitive_write", "--", "true");

        (await ListAsync("--mode", "command")).ShouldBe([waiting, inLab, inBox]);
        (await ListAsync("--mode", "prompt")).ShouldBeEmpty();
        (await ListAsync("--approval", "pending")).ShouldBe([waiting]);
        (await ListAsync("--approval", "not_required")).ShouldBe([inLab, inBox]);
        (await ListAsync("-w", "box")).ShouldBe([inBox]);
        (await ListAsync("--workstation", "lab")).ShouldBe([inLab], "a planned job has no step yet");
        (await ListAsync("--workstation", lab.Id)).ShouldBe([inLab]);
        (await ListAsync("--workstation", "box", "--approval", "pending")).ShouldBeEmpty("both must hold");
        await server.RunAsync("workstations", "remove", "lab", "--yes");
        (await ListAsync("--workstation", lab.Id)).ShouldBe([inLab], "its id still finds what it had");

        (await server.RefusedAsync("jobs", "list", "--workstation", "nobody")).ShouldContain("nobody");
        (await server.RefusedAsync("jobs", "list", "--approval", "maybe")).ShouldStartWith("error: --approval: 'maybe' is not one of not_required, pending, approved, consumed, rejected, expired\n");
        (await server.RefusedAsync("jobs", "list", "--mode", "magic")).ShouldStartWith("error: --mode: 'magic' is not one of command, prompt, investigate\n");
    }

    [Fact]
    public async Task The_retries_of_a_job_are_given_replaced_and_taken_away_and_its_approval_is_asked_for_again()
    {
        var job = await server.IdAsync("jobs", "run", "-d", "-w", "box", "--approval-class", "sensitive_write", "--", "true");
        await server.RunAsync("jobs", "approve", job, "--yes");
        var given = await UpdateAsync(job, "--retries", "2", "--retry-backoff", "5m", "--retry-exponential", "--retry-on", "workerLost");
        (given.Retry!.MaxAttempts, given.Retry.BackoffSeconds, given.Retry.Backoff, given.ApprovalStatus).ShouldBe((3, 300, BackoffKind.Exponential, ApprovalStatus.Pending));
        given.Retry.On.ShouldBe([StepReason.WorkerLost]);

        await server.RunAsync("jobs", "approve", job, "--yes");
        (await UpdateAsync(job, "--retries", "2", "--retry-backoff", "300", "--retry-exponential", "--retry-on", "workerLost")).ApprovalStatus.ShouldBe(ApprovalStatus.Approved, "nothing is other than it was");
        (await UpdateAsync(job, "--priority", "3")).Retry!.BackoffSeconds.ShouldBe(300, "what is absent stays");
        var replaced = await UpdateAsync(job, "--retries", "1");
        (replaced.Retry!.MaxAttempts, replaced.Retry.BackoffSeconds, replaced.Retry.Backoff).ShouldBe((2, 30, BackoffKind.Fixed));

        await server.RunAsync("jobs", "approve", job, "--yes");
        var taken = await UpdateAsync(job, "--retries", "0");
        (taken.Retry, taken.State, taken.ApprovalStatus).ShouldBe((null, TaskState.Planned, ApprovalStatus.Pending));

        (await server.RefusedAsync("jobs", "update", job, "--retry-backoff", "5")).ShouldContain("add --retries N");
        (await server.RefusedAsync("jobs", "update", job, "--retries", "0", "--retry-exponential")).ShouldContain("add --retries N");
        (await server.RefusedAsync("jobs", "update", job, "--retries", "1", "--retry-on", "boredom")).ShouldContain("--retry-on 'boredom' is no reason of a failure");
    }

    [Fact]
    public async Task Who_is_alone_approves_their_own_production_mutation_and_says_why()
    {
        var job = await server.IdAsync("jobs", "run", "-d", "-w", "box", "--approval-class", "production_mutation", "--", "true");
        (await server.RefusedAsync("jobs", "approve", job, "--yes")).ShouldContain("  reason: is required: you approve your own production mutation\n");
        (await server.JsonAsync(WireJson.Default.TaskBody, "jobs", "show", job)).ApprovalStatus.ShouldBe(ApprovalStatus.Pending);

        await server.RunAsync("jobs", "approve", job, "--yes", "--reason", "nobody else is here");
        server.Cli.Error.Text.ShouldEndWith($"{job} is approved and queued\n");
        var approval = (await server.JsonAsync(WireJson.Default.TaskBody, "jobs", "show", job)).Approvals!.ShouldHaveSingleItem();
        (approval.State, approval.SelfApproved, approval.Reason).ShouldBe((ApprovalState.Approved, true, "nobody else is here"));
        (await server.RunAsync("jobs", "show", job)).ShouldMatch("approval: +approved \\(own\\) by usr_.*: nobody else is here\n");
        (await server.JsonAsync(WireJson.Default.PageAuditEventBody, "audit", "list", "--action", "task.self_approved")).Items.ShouldHaveSingleItem().Subject.ShouldBe(job);
    }

    private async Task<IReadOnlyList<string>> ListAsync(params string[] conditions) =>
        (await server.RunAsync(["jobs", "list", "-o", "id", .. conditions])).Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private Task<TaskBody> UpdateAsync(string job, params string[] change) => server.JsonAsync(WireJson.Default.TaskBody, ["jobs", "update", job, .. change]);
}
