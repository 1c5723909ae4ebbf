using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>The list of tasks by who ran them, page by page, alone and with the other filters.</summary>
public sealed class TaskListTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_tasks_of_a_worker_are_those_meant_for_it_and_those_that_it_took(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (mine, other) = (await engine.AddWorkstationAsync("mine", ["gpu"]), await engine.AddWorkstationAsync("other", ["gpu"]));
        var expected = new List<string>();
        var (taken, ended) = (new List<string>(), new List<string>());
        for (var i = 0; i < 4; i++)
        {
            var meant = await engine.CreateTaskAsync([mine]);
            var any = await engine.CreateTaskAsync(Any());
            var both = await engine.CreateTaskAsync([mine, other], maxParallel: 0);
            expected.AddRange([meant.Id, any.Id, both.Id]);
            taken.Add(any.Id);
            var claim = await engine.ClaimAsync(mine, any.Execution!.Steps[0]);
            if (i % 2 == 0)
            {
                await engine.CompleteAsync(mine, any.Execution.Steps[0].Id, claim.Response!.LeaseGeneration);
                ended.Add(any.Id);
            }

            await engine.CreateTaskAsync([other]);
            await engine.CreateTaskAsync(Any()); // nobody's yet
            var others = await engine.CreateTaskAsync(Any());
            await engine.ClaimAsync(other, others.Execution!.Steps[0]);
            engine.Clock.Advance(TimeSpan.FromMilliseconds(1));
        }
        expected = [.. expected.OrderDescending(StringComparer.Ordinal)];

        foreach (var size in new[] { 1, 5, 12, 50 }) (await PagesAsync(engine, size, worker: mine.InstanceId)).ShouldBe(expected, $"pages of {size}");
        (await PagesAsync(engine, 1, worker: mine.InstanceId, state: "completed")).ShouldBe(ended.OrderDescending(StringComparer.Ordinal));
        (await PagesAsync(engine, 3, worker: mine.InstanceId, state: "queued", mode: "command", approval: "not_required")).ShouldBe(expected.Except(taken));
        (await PagesAsync(engine, 3, worker: mine.InstanceId, approval: "pending")).ShouldBeEmpty();
        (await engine.Store.ListAsync(Ids.New(Ids.Organization, engine.Clock), null, null, null, mine.InstanceId, null, 50, null, Cancelled)).Items.ShouldBeEmpty("another organization");
    }

    private static CreateTaskRequest Any() => new()
    {
        Command = new CommandSpec { Argv = ["true"] },
        Targets = new TargetSpec { Tags = ["gpu"], Placement = Placement.Any },
    };

    private static async Task<List<string>> PagesAsync(Engine engine, int size, string? state = null, string? mode = null, string? approval = null, string? worker = null)
    {
        var all = new List<string>();
        string? cursor = null;
        do
        {
            var page = await engine.Store.ListAsync(engine.Owner.OrganizationId, state, mode, approval, worker, null, size, cursor, Cancelled);
            all.AddRange(page.Items.Select(task => task.Id));
            cursor = page.NextCursor;
        }
        while (cursor is not null);
        return all;
    }
}
