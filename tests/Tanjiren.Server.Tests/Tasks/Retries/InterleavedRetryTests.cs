using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Retries;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Retries;

/// <summary>As <see cref="InterleavingTests"/>, of a failed task whose next attempt is due: the loops of two servers, two people who retry it, and one who wants no more of it. One attempt follows, or none.</summary>
public sealed class InterleavedRetryTests
{
    private static readonly string[] Operations = ["due", "retry", "cancel"];

    public static TheoryData<string, string> Pairs()
    {
        var pairs = new TheoryData<string, string>();
        foreach (var first in Operations)
        {
            foreach (var second in Operations) pairs.Add(first, second);
        }
        return pairs;
    }

    [Theory, MemberData(nameof(Pairs))]
    public async Task Any_two_operations_leave_one_attempt_at_most(string first, string second)
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Postgres);
        var box = await engine.AddWorkstationAsync("box");
        var paused = 0;
        for (var pauseBefore = 1; ; pauseBefore++)
        {
            var task = await engine.CreateTaskAsync(new CreateTaskRequest
            {
                Command = new CommandSpec { Argv = ["false"] }, Targets = new TargetSpec { Workstations = ["box"] }, Retry = new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 0 },
            });
            var step = task.Execution!.Steps[0];
            await engine.ClaimAsync(box, step);
            await engine.CompleteAsync(box, step.Id, 1, StepOutcome.Failed);
            var (applied, gate) = (new List<string>(), new Lock());
            var more = await InterleavingTests.InterleaveAsync(engine, async (services, operation, _) =>
            {
                if (!await RunAsync(services, engine, operation, task.Id)) return;
                lock (gate) applied.Add(operation);
            }, first, second, pauseBefore);
            if (!more) break;
            paused++;

            var story = string.Join(", ", applied);
            var made = applied.Count(operation => operation is "due" or "retry");
            made.ShouldBeLessThanOrEqualTo(1, story);
            (await engine.QueryAsync<long>("SELECT count(*) FROM tasks WHERE retry_of_task_id = @Id", new { task.Id })).ShouldBe(made, story);
            (await engine.QueryAsync<long>("SELECT count(*) FROM retries WHERE task_id = @Id", new { task.Id })).ShouldBe(0, story);
            // Whoever wants no more of it drops what is pending, or comes too late; by hand it may be tried again all the same.
            if (applied.Contains("due")) applied.ShouldNotContain("cancel", story);
            await engine.CheckInvariantsAsync(task.Id);
        }
        paused.ShouldBeGreaterThan(2, "the first operation was hardly ever stopped: the suite would prove nothing");
    }

    private static async Task<bool> RunAsync(IServiceProvider services, Engine engine, string operation, string taskId)
    {
        var token = TestContext.Current.CancellationToken;
        return operation switch
        {
            "due" => await services.GetRequiredService<RetryService>().MakeDueAsync(taskId, token) == RetryOutcome.Made,
            "retry" => (await services.GetRequiredService<RetryService>().RetryAsync(engine.Owner, taskId, null, null, token)).TaskId is not null,
            _ => (await services.GetRequiredService<TaskCanceller>().CancelAsync(engine.Owner, taskId, null, token)).Kind == CancelResultKind.Applied,
        };
    }
}
