using Tanjiren.Protocol;

using static Tanjiren.EndToEnd.Tests.Cli.FakeControlPlane;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>What <c>jobs run</c> tells of its job's approvals, whatever the stream of events let it see.</summary>
public sealed class JobApprovalTests : IAsyncLifetime
{
    private const string Events = $"/api/tasks/{Wire.TaskId}/events";
    private const string Waits = $"{Wire.TaskId} waits for an approval (production_mutation: web: It is production); an admin gives it with `tanvrit-compute jobs approve {Wire.TaskId}` (Ctrl-C cancels the job)\n";
    private const string Approved = $"{Wire.TaskId} was approved by usr_01jd000000000000000000000b: looked at it\n";

    private readonly CliRun cli = new();
    private FakeControlPlane server = null!;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        cli.SignedIn(server);
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        cli.Dispose();
    }

    [Fact]
    public async Task An_approval_that_is_asked_for_and_given_is_told_once_each()
    {
        (await SeenAsync([Of('a', ApprovalState.Pending)], [Of('a', ApprovalState.Pending)], [Of('a', ApprovalState.Approved)], [Of('a', ApprovalState.Consumed)]))
            .ShouldBe(Waits + Approved);
    }

    [Fact]
    public async Task Who_was_told_that_a_job_waits_is_told_that_it_was_approved_though_nobody_saw_the_changed_job_wait()
    {
        (await SeenAsync([Of('a', ApprovalState.Pending)], [Of('a', ApprovalState.Withdrawn), Of('b', ApprovalState.Consumed)])).ShouldBe(Waits + Approved);
    }

    [Fact]
    public async Task A_job_that_asks_again_for_its_second_start_tells_nothing_of_the_approval_of_its_first()
    {
        (await SeenAsync([Of('a', ApprovalState.Consumed)], [Of('a', ApprovalState.Consumed), Of('b', ApprovalState.Pending)],
            [Of('a', ApprovalState.Consumed), Of('b', ApprovalState.Consumed)])).ShouldBe(Waits + Approved);
    }

    /// <summary>Standard error of a run whose job is first answered with the first approvals, then told with each of the others, and ends.</summary>
    private async Task<string> SeenAsync(params ApprovalBody[][] states)
    {
        server.On("POST", "/api/tasks", With(TaskState.Planned, states[0]), 201);
        server.On("GET", Events, async (context, _) =>
        {
            for (var i = 1; i < states.Length; i++) await EventAsync(context, i, "task", Wire.Event(With(TaskState.Planned, states[i])));
            await EventAsync(context, states.Length, "end", Wire.Event(With(TaskState.Completed, states[^1])));
        });
        (await cli.InvokeAsync("jobs", "run", "-w", "a", "--", "true")).ShouldBe(0, cli.Error.Text);
        return cli.Error.Text;
    }

    private static TaskBody With(TaskState state, ApprovalBody[] approvals) =>
        Wire.Task(state, Wire.Step(state == TaskState.Completed ? StepState.Succeeded : StepState.Queued, state == TaskState.Completed ? 0 : null)) with { Approvals = approvals };

    private static ApprovalBody Of(char last, ApprovalState state) => new()
    {
        Id = $"apr_01jd000000000000000000000{last}",
        TaskId = Wire.TaskId,
        Intent = "true",
        Class = ApprovalClass.ProductionMutation,
        State = state,
        Findings = [new ApprovalFindingBody { Rule = "web", Effect = "production_mutation", Because = "It is production." }],
        ActionHash = new string('0', 64),
        DoctrineVersion = 1,
        RequestedBy = "usr_01jd000000000000000000000a",
        RequestedAt = Wire.Noon,
        ExpiresAt = Wire.Noon.AddDays(7),
        DecidedBy = state is ApprovalState.Approved or ApprovalState.Consumed ? "usr_01jd000000000000000000000b" : null,
        Reason = state is ApprovalState.Approved or ApprovalState.Consumed ? "looked at it" : null,
    };
}
