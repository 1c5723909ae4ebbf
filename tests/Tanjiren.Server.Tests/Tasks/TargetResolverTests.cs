using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

public sealed class TargetResolverTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Machines_are_meant_by_id_by_name_or_by_what_they_are_and_removed_ones_never(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (a, b, gone) = (await engine.AddWorkstationAsync("a", ["gpu", "lab"]), await engine.AddWorkstationAsync("b", ["gpu"]), await engine.AddWorkstationAsync("gone", ["gpu"]));
        await engine.AddWorkstationAsync("a", ["gpu"], owner: await engine.CreateOrganizationAsync("another"));
        await engine.ExecuteAsync("UPDATE instances SET labels = @labels WHERE id = @InstanceId", new { labels = """{"os":"linux"}""", b.InstanceId });
        await engine.ExecuteAsync("UPDATE instances SET removed_at = 1 WHERE id = @InstanceId", new { gone.InstanceId });
        async Task<(ResolvedTargets Targets, bool Refused)> ResolveAsync(TargetSpec targets)
        {
            var errors = new FieldErrors();
            var resolver = (TargetResolver)engine.Service(typeof(TargetResolver));
            return (await engine.Database.ReadAsync(sql => resolver.ResolveAsync(sql, engine.Owner.OrganizationId, new CreateTaskRequest { Targets = targets }, errors), Cancelled), errors.Any);
        }

        (await ResolveAsync(new TargetSpec { Workstations = ["b", a.InstanceId], Placement = Placement.All })).Targets.Instances.ShouldBe([b.InstanceId, a.InstanceId]);
        (await ResolveAsync(new TargetSpec { Tags = ["gpu"], Placement = Placement.All })).Targets.Instances.ShouldBe(new[] { a.InstanceId, b.InstanceId }.Order(StringComparer.Ordinal));
        var any = (await ResolveAsync(new TargetSpec { Tags = ["gpu"], Placement = Placement.Any })).Targets;
        (any.Instances.Count, any.Selector is null).ShouldBe((0, false));
        any.Tags.Select(tags => string.Join(' ', tags)).ShouldBe(["gpu lab", "gpu"], ignoreOrder: true);
        (await ResolveAsync(new TargetSpec { Labels = new Dictionary<string, string> { ["os"] = "linux" }, Placement = Placement.All })).Targets.Instances.ShouldBe([b.InstanceId]);
        foreach (var name in new[] { "gone", gone.InstanceId, "nobody" }) (await ResolveAsync(new TargetSpec { Workstations = [name], Placement = Placement.All })).Refused.ShouldBeTrue(name);
        (await ResolveAsync(new TargetSpec { Tags = ["alien"], Placement = Placement.Any })).Refused.ShouldBeTrue();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_no_machine_can_give_is_refused_with_the_best_that_there_is(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (small, large) = (await engine.AddWorkstationAsync("small", ["lab"]), await engine.AddWorkstationAsync("large", ["lab"]));
        await AnnounceAsync(small.InstanceId, """{"cpuCount":"8","memoryMb":"1024","gpuCount":"1"}""");
        await AnnounceAsync(large.InstanceId, """{"cpuCount":"1.5","memoryMb":"4096","gpuCount":"0"}""");
        await AnnounceAsync((await engine.AddWorkstationAsync("elsewhere", ["attic"])).InstanceId, """{"cpuCount":"64","memoryMb":"999999","gpuCount":"8"}""");
        Task AnnounceAsync(string id, string labels) => engine.ExecuteAsync("UPDATE instances SET labels = @labels WHERE id = @id", new { labels, id });
        async Task<string> RefusalAsync(ResourceSpec resources, TargetSpec? targets = null)
        {
            var request = ClaimTests.AnyGpu() with { Targets = targets ?? new TargetSpec { Tags = ["lab"], Placement = Placement.Any }, Resources = resources };
            var result = await engine.TryCreateTaskAsync(request);
            return result.TaskId is not null ? "" : string.Join("; ", result.Problem!.Value.Errors!.SelectMany(e => e.Value.Select(w => $"{e.Key}: {w}")));
        }

        (await RefusalAsync(new ResourceSpec { MemoryMb = 4096 })).ShouldBe("");
        (await RefusalAsync(new ResourceSpec { MemoryMb = 4097 })).ShouldBe("resources.memoryMb: asks for 4097, and no workstation that meets the targets gives a job more than 4096 ('large')");
        (await RefusalAsync(new ResourceSpec { Cpu = 8.5, GpuCount = 2 }))
            .ShouldBe("resources.cpu: asks for 8.5, and no workstation that meets the targets gives a job more than 8 ('small'); resources.gpuCount: asks for 2, and no workstation that meets the targets gives a job more than 1 ('small')");
        (await RefusalAsync(new ResourceSpec { Cpu = 2, MemoryMb = 2048, GpuCount = 1 }))
            .ShouldBe("resources.memoryMb: asks for 2048, and no workstation that meets the targets gives a job that together with the rest; 'small' lacks the least and gives 1024");
        // Each named one must do its part of it.
        (await RefusalAsync(new ResourceSpec { MemoryMb = 2048 }, new TargetSpec { Workstations = ["small", "large"], Placement = Placement.All }))
            .ShouldBe("resources.memoryMb: asks for 2048, and workstation 'small' gives a job 1024");
        (await RefusalAsync(new ResourceSpec { MemoryMb = 2048 }, new TargetSpec { Workstations = ["small", "large"], Placement = Placement.Any })).ShouldBe("");
        (await RefusalAsync(new ResourceSpec { MemoryMb = 1 }, new TargetSpec { Tags = ["alien"], Placement = Placement.Any })).ShouldStartWith("targets: no workstation");

        // What nobody knows yet is not refused: not for one that was never connected, and not for others beside it.
        await engine.AddWorkstationAsync("new", ["lab"]);
        (await RefusalAsync(new ResourceSpec { MemoryMb = 4097 })).ShouldBe("");
        (await RefusalAsync(new ResourceSpec { MemoryMb = 4097 }, new TargetSpec { Workstations = ["new"], Placement = Placement.All })).ShouldBe("");
        (await RefusalAsync(new ResourceSpec { MemoryMb = 4097 }, new TargetSpec { Labels = new Dictionary<string, string> { ["os"] = "linux" }, Placement = Placement.Any })).ShouldStartWith("targets: no workstation");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_transaction_that_makes_a_task_reads_of_the_fleet_what_it_matches_and_once(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.AddWorkstationAsync("one", ["gpu"]);
        var statements = new ConcurrentQueue<string>();
        await using var observed = engine.Observed(sql =>
        {
            statements.Enqueue(sql);
            return Task.CompletedTask;
        });
        (await observed.GetRequiredService<TaskService>().CreateAsync(engine.Owner, ClaimTests.AnyGpu(), null, Cancelled)).TaskId.ShouldNotBeNull();
        var read = statements.Where(s => s.Contains("FROM instances", StringComparison.Ordinal)).ShouldHaveSingleItem();
        foreach (var other in new[] { "steps", "oauth_grants", "instance_keys" }) read.ShouldNotContain(other);
    }
}
