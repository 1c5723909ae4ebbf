using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Schedules;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary><c>POST /api/tasks/{id}/retry</c>, and what task bodies tell of attempts.</summary>
public sealed class RetryRouteTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_failed_task_is_retried_once_by_one_key_and_then_refused_with_the_attempts_name(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box") with { Retry = new RetryPolicy { MaxAttempts = 5, BackoffSeconds = 3600, On = [StepReason.WorkerLost, StepReason.ExitCode] } });
        task.Retry.ShouldNotBeNull().ShouldSatisfyAllConditions(r => r.Backoff.ShouldBe(BackoffKind.Fixed), r => r.On.ShouldBe([StepReason.ExitCode, StepReason.WorkerLost]));
        await agent.ClaimAsync(task.StepId());
        (await agent.TryCompleteAsync(task.StepId(), AgentCalls.Result(task.StepId(), r => r with { Outcome = StepOutcome.Failed, Reason = StepReason.ExitCode, ExitCode = 3 }))).EnsureSuccessStatusCode();
        var failed = await server.Client.TaskAsync(task.Id);
        (failed.State, failed.RetryDueAt).ShouldBe((TaskState.Failed, failed.EndedAt!.Value.AddHours(1)));

        var path = $"/api/tasks/{task.Id}/retry";
        (await server.Client.PostJsonAsync(path, new RetryTaskRequest { Reason = " " }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["reason"]);
        var first = await server.Client.SendWithKeyAsync(path, new RetryTaskRequest { Reason = "again" }, "key");
        first.StatusCode.ShouldBe(HttpStatusCode.Created);
        var attempt = await first.BodyAsync<TaskBody>();
        (attempt.Attempt, attempt.RetryOfTaskId, attempt.RootTaskId, attempt.State).ShouldBe((2, task.Id, task.Id, TaskState.Queued));
        var again = await server.Client.SendWithKeyAsync(path, new RetryTaskRequest { Reason = "again" }, "key");
        (again.StatusCode, (await again.BodyAsync<TaskBody>()).Id).ShouldBe((HttpStatusCode.OK, attempt.Id));
        var refused = await server.Client.PostAsync(path, null, Cancelled).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        refused.Detail!.ShouldContain(attempt.Id);
        failed = await server.Client.TaskAsync(task.Id);
        (failed.RetriedByTaskId, failed.RetryDueAt).ShouldBe((attempt.Id, null));
        (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks")).Items.Select(t => t.RetriedByTaskId).ShouldBe([null, attempt.Id]);

        (await server.Client.CancelAsync(task.Id).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("failed");
        (await server.Client.PostAsync($"/api/tasks/{attempt.Id}/retry", null, Cancelled).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("queued");
        await server.Client.PostAsync("/api/tasks/task_nobody/retry", null, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_loop_makes_the_attempt_without_being_asked_and_cancel_drops_the_next(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box") with { Retry = new RetryPolicy { MaxAttempts = 3, BackoffSeconds = 0 } });
        await FailAsync(agent, task);
        TaskBody failed = task;
        await Eventually.TrueAsync(async () => (failed = await server.Client.TaskAsync(task.Id)).RetriedByTaskId is not null, what: "the second attempt is made");

        // The next is put off far enough to be dropped by hand.
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE tasks SET spec = replace(spec, '\"backoffSeconds\":0', '\"backoffSeconds\":3600')"), Cancelled);
        var second = await server.Client.TaskAsync(failed.RetriedByTaskId!);
        await FailAsync(agent, second);
        (await server.Client.TaskAsync(second.Id)).RetryDueAt.ShouldNotBeNull();
        var dropped = await (await server.Client.CancelAsync(second.Id, "enough")).BodyAsync<TaskBody>();
        (dropped.State, dropped.RetryDueAt).ShouldBe((TaskState.Failed, null));
    }

    private static async Task FailAsync(DeviceClient agent, TaskBody task)
    {
        await agent.ClaimAsync(task.StepId());
        (await agent.TryCompleteAsync(task.StepId(), AgentCalls.Result(task.StepId(), r => r with { Outcome = StepOutcome.Failed, Reason = StepReason.ExitCode, ExitCode = 1 }))).EnsureSuccessStatusCode();
    }
}
