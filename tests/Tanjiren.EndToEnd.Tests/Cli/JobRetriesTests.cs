using System.Text.Json;

using Tanjiren.Protocol;

using static Tanjiren.EndToEnd.Tests.Cli.FakeControlPlane;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>jobs run --retries</c>: it stays for the last attempt.</summary>
public sealed class JobRetriesTests : IAsyncLifetime
{
    private const string First = $"/api/tasks/{Wire.TaskId}";
    private const string NextId = "task_01jd0000000000000000000001";
    private const string Next = $"/api/tasks/{NextId}";

    private readonly CliRun cli = new();
    private FakeControlPlane server = null!;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        server.On("POST", "/api/tasks", Wire.Task(TaskState.Queued, Wire.Step(StepState.Queued)), 201);
        server.On("GET", First + "/events", async (context, _) =>
        {
            await EventAsync(context, 1, "log", Wire.Log("one ", seq: 1));
            await EventAsync(context, 2, "end", Wire.Event(Failed(7) with { RetryDueAt = DateTimeOffset.UnixEpoch }));
        });
        cli.SignedIn(server);
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        cli.Dispose();
    }

    [Fact]
    public async Task The_output_of_each_attempt_follows_the_one_before_and_the_last_code_is_the_jobs()
    {
        // Due, not made, not there for a moment, made.
        server.On("GET", First, (context, n) => n switch
        {
            1 => JsonAsync(context, Failed(7) with { RetryDueAt = DateTimeOffset.UnixEpoch }),
            2 => ProblemAsync(context, ErrorCode.Unavailable, 503, "starting"),
            _ => JsonAsync(context, Failed(7) with { RetriedByTaskId = NextId }),
        });
        server.On("GET", Next, Wire.Task(TaskState.Queued, Wire.Step(StepState.Queued)) with { Id = NextId, Attempt = 2 });
        server.On("GET", Next + "/events", async (context, _) =>
        {
            await EventAsync(context, 1, "log", Wire.Log("two", seq: 1));
            await EventAsync(context, 2, "end", Wire.Event(Wire.Task(TaskState.Completed, Wire.Step(StepState.Succeeded, 0)) with { Id = NextId, Attempt = 2 }));
        });

        (await RunAsync()).ShouldBe(0);

        cli.Output.Text.ShouldBe("one two");
        cli.Error.Text.ShouldContain($"{Wire.TaskId} failed: attempt 2 of 3 in ");
        var sent = JsonSerializer.Deserialize(server.To("POST", "/api/tasks").Single().Body, WireJson.Default.CreateTaskRequest)!;
        sent.Retry.ShouldBe(new RetryPolicy { MaxAttempts = 3, BackoffSeconds = 0, Backoff = BackoffKind.Exponential });
    }

    [Fact]
    public async Task An_attempt_that_is_dropped_elsewhere_ends_it_with_the_code_of_the_last()
    {
        server.On("GET", First, Failed(7));
        (await RunAsync()).ShouldBe(7);
        server.To("POST", First + "/cancel").ShouldBeEmpty();
    }

    [Fact]
    public async Task Ctrl_C_in_the_pause_drops_the_next_attempt()
    {
        server.On("GET", First, (context, _) => JsonAsync(context, server.To("POST", First + "/cancel").Count == 0 ? Failed(7) with { RetryDueAt = DateTimeOffset.UnixEpoch } : Failed(7)));
        server.On("POST", First + "/cancel", Failed(7));
        var running = RunAsync();
        await Tanjiren.Tests.Eventually.TrueAsync(() => server.To("GET", First).Count > 0, () => cli.Error.Text);
        cli.Interrupts.Raise();
        (await running).ShouldBe(130);
        cli.Error.Text.ShouldContain("dropping the next attempt");
    }

    [Fact]
    public async Task Ctrl_C_just_as_the_attempt_is_made_cancels_that_one()
    {
        server.On("GET", First, (context, _) => JsonAsync(context, server.To("POST", First + "/cancel").Count == 0
            ? Failed(7) with { RetryDueAt = DateTimeOffset.UnixEpoch } : Failed(7) with { RetriedByTaskId = NextId }));
        server.On("POST", First + "/cancel", (context, _) => ProblemAsync(context, ErrorCode.StateConflict, 409, "It has failed already."));
        server.On("GET", Next, Wire.Task(TaskState.Queued, Wire.Step(StepState.Queued)) with { Id = NextId, Attempt = 2 });
        var cancelled = Wire.Task(TaskState.Cancelled, Wire.Step(StepState.Cancelled, reason: StepReason.Cancelled)) with { Id = NextId, Attempt = 2 };
        server.On("POST", Next + "/cancel", cancelled);
        server.On("GET", Next + "/events", async (context, _) =>
        {
            await context.Response.Body.FlushAsync();
            while (server.To("POST", Next + "/cancel").Count == 0) await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, context.RequestAborted);
            await EventAsync(context, 1, "end", Wire.Event(cancelled));
        });
        var running = RunAsync();
        await Tanjiren.Tests.Eventually.TrueAsync(() => server.To("GET", First).Count > 0, () => cli.Error.Text);
        cli.Interrupts.Raise();
        (await running).ShouldBe(130);
    }

    private Task<int> RunAsync() => cli.InvokeAsync("jobs", "run", "--retries", "2", "--retry-backoff", "0", "--retry-exponential", "-w", "a", "--", "x");

    private static TaskBody Failed(int code) =>
        Wire.Task(TaskState.Failed, Wire.Step(StepState.Failed, code, StepReason.ExitCode)) with { Retry = new RetryPolicy { MaxAttempts = 3, BackoffSeconds = 0 } };
}
