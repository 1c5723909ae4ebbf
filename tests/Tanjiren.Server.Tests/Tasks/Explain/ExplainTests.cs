using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Explain;

/// <summary>The words, and the moments that <see cref="ExplainPropertyTests"/> can't compare with a claim.</summary>
public sealed class ExplainTests
{
    private static readonly DoctrineDecision Free = new(ApprovalClass.None, [], false, null, false, 1);

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Without_a_match_it_says_what_the_nearest_machines_lack(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var mac = await engine.AddWorkstationAsync("mac", ["gpu", "lab"]);
        var box = await engine.AddWorkstationAsync("box");
        await engine.ExecuteAsync("UPDATE instances SET labels = @labels", new { labels = """{"os":"linux","cpuCount":"4"}""" });
        var task = await engine.CreateTaskAsync(new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] },
            Targets = new TargetSpec { Tags = ["gpu", "lab"], Labels = new Dictionary<string, string> { ["os"] = "linux" }, Placement = Placement.Any },
            Resources = new ResourceSpec { Cpu = 2 },
        });
        (await StepAsync(engine, task)).ShouldSatisfyAllConditions(
            s => s.Sentence.ShouldBe("Nothing keeps it: 'mac' may claim it at any moment."),
            s => s.WaitingFor.ShouldBeEmpty(),
            s => s.Candidates.Select(c => c.Name).ShouldBe(["mac", "box"]),
            s => s.Candidates[1].Lacks.ShouldBe(["lacks the tag gpu", "lacks the tag lab"]));

        await engine.ExecuteAsync("UPDATE instances SET tags = '[\"lab\"]' WHERE id = @InstanceId", new { mac.InstanceId });
        (await StepAsync(engine, task)).ShouldSatisfyAllConditions(
            s => s.WaitingFor.ShouldBe([WaitReason.NoMatch]),
            s => s.Sentence.ShouldBe("It waits for a workstation that matches: 'mac' lacks the tag gpu; 'box' lacks the tag gpu and lacks the tag lab."));

        // What is announced too small is told as such, beside what is not announced at all.
        await engine.ExecuteAsync("UPDATE instances SET tags = '[\"gpu\",\"lab\"]', labels = '{\"os\":\"linux\",\"cpuCount\":\"1\"}' WHERE id = @InstanceId", new { mac.InstanceId });
        await engine.ExecuteAsync("UPDATE instances SET tags = '[\"gpu\",\"lab\"]', labels = '{\"os\":\"darwin\"}' WHERE id = @InstanceId", new { box.InstanceId });
        (await StepAsync(engine, task)).ShouldSatisfyAllConditions(
            s => s.WaitingFor.ShouldBe([WaitReason.Resources, WaitReason.NoMatch]),
            s => s.Sentence.ShouldBe("It waits for a workstation that matches: 'mac' has cpuCount 1, not >=2; 'box' has os darwin, not linux and announces no cpuCount (>=2 is asked for)."));

        await engine.ExecuteAsync("UPDATE instances SET removed_at = 1");
        (await StepAsync(engine, task)).Sentence.ShouldBe("It waits for a workstation: the organization has none that it could be given to.");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_those_that_match_it_says_what_each_waits_for(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (a, b) = (await engine.AddWorkstationAsync("a", ["gpu"], maxConcurrent: 1), await engine.AddWorkstationAsync("b", ["gpu"]));
        await engine.ClaimAsync(a, (await engine.CreateTaskAsync([a])).Execution!.Steps[0]);
        await engine.ExecuteAsync("UPDATE instances SET draining = 1, last_heartbeat_at = @at WHERE id = @InstanceId", new { b.InstanceId, at = new DateTimeOffset(2025, 12, 31, 23, 0, 0, TimeSpan.Zero).ToUnixTimeMilliseconds() });
        var task = await engine.CreateTaskAsync(ClaimTests.AnyGpu());
        (await StepAsync(engine, task)).ShouldSatisfyAllConditions(
            s => s.Sentence.ShouldBe("It waits for one of the workstations that match (2): 'a' runs 1 of 1 steps that it takes at once; 'b' is offline since 2025-12-31T23:00:00Z and is draining."),
            s => s.WaitingFor.ShouldBe([WaitReason.AtCapacity, WaitReason.Offline, WaitReason.Draining]));

        var named = await engine.CreateTaskAsync([b]);
        (await StepAsync(engine, named)).Sentence.ShouldBe("It waits for its workstation: 'b' is offline since 2025-12-31T23:00:00Z and is draining.");
        await engine.ExecuteAsync("UPDATE instances SET removed_at = 1 WHERE id = @InstanceId", new { b.InstanceId });
        (await StepAsync(engine, named)).WaitingFor.ShouldBe([WaitReason.Removed]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_place_under_maxParallel_is_waited_for_and_a_silent_machine_keeps_one_until_its_grace_is_over(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var (a, b) = (await engine.AddWorkstationAsync("a"), await engine.AddWorkstationAsync("b"));
        var task = await engine.CreateTaskAsync([a, b], onWorkerLost: OnWorkerLost.Requeue);
        (await ExplainAsync(engine, task)).Summary.ShouldBe("Of 2 steps 2 are queued, 0 run and 0 have ended.");
        await engine.ClaimAsync(a, task.Execution!.Steps[0]);
        (await ExplainAsync(engine, task)).ShouldSatisfyAllConditions(
            e => e.WaitingFor.ShouldBeEmpty(),
            e => e.Summary.ShouldBe($"Of 2 steps 1 is queued, 1 runs and 0 have ended. The first that waits: {e.Steps[1].Sentence}"),
            e => e.Steps[0].Sentence.ShouldBe("It runs on 'a' since 2026-01-01T00:00:00Z."),
            e => e.Steps[1].Sentence.ShouldBe("It waits for a place under maxParallel (1): as many of its steps run."),
            e => e.Steps[1].WaitingFor.ShouldBe([WaitReason.MaxParallel]));

        await engine.ServeAsync(Engine.TtlSeconds + 2);
        var stale = await ExplainAsync(engine, task);
        stale.Steps[0].WaitingFor.ShouldBe([WaitReason.StaleLease]);
        stale.Steps[0].Until!.Value.ShouldBeInRange(engine.Clock.GetUtcNow(), engine.Clock.GetUtcNow().AddSeconds(Engine.GraceSeconds));
        stale.Steps[0].Sentence.ShouldStartWith("Its workstation 'a' is silent since its lease ran out at 2026-01-01T00:00:");
        stale.Steps[0].Sentence.ShouldEndWith(", it is queued again.");
        stale.Steps[1].Sentence.ShouldContain(", and 'a' is silent and keeps its place until 2026-01-01T00:00:");
        await engine.Canceller.CancelAsync(engine.Owner, task.Id, null, Cancelled);
        (await ExplainAsync(engine, task)).Steps.ShouldSatisfyAllConditions(
            s => s[0].Sentence.ShouldEndWith(", it ends as cancelled."),
            s => s[1].Sentence.ShouldStartWith("It was cancelled on 'b' at "));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Approval_freeze_and_doctrine_are_told_with_their_end(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        var until = engine.Clock.GetUtcNow().AddHours(2);
        engine.Doctrine = _ => Free with { Class = ApprovalClass.ProductionMutation, Findings = [new DoctrineFinding("production", "production_mutation", "customers stand on it")] };
        var task = await engine.CreateTaskAsync([machine]);
        (await ExplainAsync(engine, task)).ShouldSatisfyAllConditions(
            e => e.State.ShouldBe(TaskState.Planned),
            e => e.WaitingFor.ShouldBe([WaitReason.Approval]),
            e => e.Steps.ShouldBeEmpty(),
            e => e.Summary.ShouldBe("It waits for an approval of class production_mutation by an admin or the owner until 2026-01-08T00:00:00Z, because of production (customers stand on it)."));
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, "because", Cancelled)).ShouldBeNull();
        (await StepAsync(engine, task)).WaitingFor.ShouldBeEmpty();
        await engine.ExecuteAsync("UPDATE tasks SET action_hash = 'another'");
        (await StepAsync(engine, task)).Sentence.ShouldBe("It waits for its workstation: 'one' may run it only with an approval of class production_mutation.");

        engine.Doctrine = _ => Free with { FrozenUntil = until };
        var frozen = await engine.CreateTaskAsync([machine]);
        (await ExplainAsync(engine, frozen)).ShouldSatisfyAllConditions(
            e => e.WaitingFor.ShouldBe([WaitReason.Frozen]),
            e => e.Until.ShouldBe(until),
            e => e.Steps[0].Until.ShouldBe(until),
            e => e.Summary.ShouldStartWith("It waits for the end of a freeze at 2026-01-01T02:00:00Z"));
        engine.Doctrine = _ => Free;
        var free = await engine.CreateTaskAsync([machine]);
        engine.Doctrine = _ => Free with { Forbidden = true, Findings = [new DoctrineFinding("never", "forbid", "it says so")] };
        (await StepAsync(engine, free)).ShouldSatisfyAllConditions(
            s => s.Sentence.ShouldBe("It waits for its workstation: 'one' is forbidden it by the doctrine (never)."),
            s => s.WaitingFor.ShouldBe([WaitReason.Forbidden]));
        (await engine.TaskAsync(free.Id)).State.ShouldBe(TaskState.Queued, "who only asks ends nothing");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_freeze_is_told_by_its_rules_and_a_doctrine_that_can_not_be_read_as_such_without_an_end(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one", ["prod"]);
        var task = await engine.CreateTaskAsync([machine]);
        Task WriteAsync(int version, string document) => engine.WriteDoctrineAsync(engine.Owner.OrganizationId, version, document);
        async Task IsFrozenAsync(string starts, string ends, DateTimeOffset? until)
        {
            var step = await StepAsync(engine, task);
            step.WaitingFor.ShouldBe([WaitReason.Frozen]);
            step.Sentence.ShouldStartWith("It waits for its workstation: 'one' " + starts);
            step.Sentence.ShouldEndWith(ends);
            step.Until.ShouldBe(until);
        }
        var start = engine.Clock.GetUtcNow();

        await WriteAsync(1, "freeze:\n  - name: weekend\n    from: 2025-12-31\n    to: 2026-01-02\n    effect: wait\n    when: { tags: [prod] }\n");
        await IsFrozenAsync("is frozen until 2026-01-02T00:00:00Z by the doctrine (weekend).", ".", start.AddDays(1));
        (await engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        await IsFrozenAsync("is frozen until 2026-01-02T00:00:00Z by the doctrine (weekend)", ", which is asked again at 2026-01-01T00:05:00Z.", start.AddDays(1));

        await WriteAsync(2, "later: []");
        await IsFrozenAsync("is kept from it by the doctrine (this server can't read version 2 of it: line 1", "), which is asked again at 2026-01-01T00:05:00Z.", null);
        await engine.ExecuteAsync("DELETE FROM step_holds");
        await IsFrozenAsync("is kept from it by the doctrine (this server can't read version 2 of it: line 1", ").", null);
        (await engine.ClaimAsync(machine, task.Execution.Steps[0])).Refusal.ShouldBe(ClaimRefusal.Frozen);
        await WriteAsync(3, "# read\n");
        await IsFrozenAsync("was frozen by the doctrine", ", which is asked again at 2026-01-01T00:01:00Z.", start.AddMinutes(1));

        // Only the version that the task was made under can't be read: it is no freeze either.
        await engine.ExecuteAsync("DELETE FROM step_holds");
        await engine.ExecuteAsync("UPDATE tasks SET doctrine_version = 2");
        await IsFrozenAsync("is kept from it by the doctrine (this server can't read version 2 of it: line 1", ").", null);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Machines_that_the_doctrine_can_not_tell_apart_are_judged_together_however_many_there_are(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        await engine.WriteDoctrineAsync(engine.Owner.OrganizationId, 1, "forbid:\n  - name: no-prod\n    when: { tags: [prod] }\n");
        for (var i = 0; i < 120; i++) await engine.AddWorkstationAsync($"m{i}", ["gpu"]);
        engine.Clock.Advance(TimeSpan.FromMilliseconds(1));
        var last = await engine.AddWorkstationAsync("last", ["gpu"]);
        var task = await engine.CreateTaskAsync(ClaimTests.AnyGpu());
        await engine.ExecuteAsync("UPDATE instances SET tags = '[\"gpu\",\"prod\",\"' || name || '\"]' WHERE id <> @InstanceId", new { last.InstanceId });
        (await StepAsync(engine, task)).Sentence.ShouldBe("Nothing keeps it: 'last' may claim it at any moment.");
        (await engine.ClaimAsync(last, task.Execution!.Steps[0])).Refusal.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_doctrine_is_asked_a_hundred_times_an_explanation_and_it_is_said_of_how_many_it_was_not(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machines = new List<Device>();
        for (var i = 0; i < 120; i++) machines.Add(await engine.AddWorkstationAsync($"m{i}", ["gpu", $"t{i}"]));
        engine.Doctrine = _ => Free;
        var (any, each) = (await engine.CreateTaskAsync(ClaimTests.AnyGpu()), await engine.CreateTaskAsync(machines, maxParallel: 0));
        var asked = 0;
        engine.Doctrine = _ =>
        {
            asked++;
            return Free with { Forbidden = true, Findings = [new DoctrineFinding("never", "forbid", "it says so")] };
        };
        (await StepAsync(engine, any)).ShouldSatisfyAllConditions(
            s => s.WaitingFor.ShouldBe([WaitReason.Forbidden]),
            s => s.Sentence.ShouldStartWith("It waits for one of the workstations that match (120): 'm"),
            s => s.Sentence.ShouldEndWith("; or for one of 20 more that the doctrine was not asked about."));
        asked.ShouldBe(100);

        asked = 0;
        var steps = (await ExplainAsync(engine, each)).Steps;
        asked.ShouldBe(100, "of one explanation, not of each step");
        steps.Count(s => s.WaitingFor is [WaitReason.Forbidden]).ShouldBe(100);
        steps.Where(s => s.WaitingFor.Count == 0).ShouldAllBe(s => s.Sentence == "Nothing else keeps it; the doctrine was not asked about its workstation." && s.Candidates.Count == 0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_has_ended_says_how_and_when_the_next_attempt_is_made(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind);
        var machine = await engine.AddWorkstationAsync("one");
        async Task<TaskBody> RunAsync(RetryPolicy? retry, StepOutcome outcome)
        {
            var task = await engine.CreateTaskAsync(new CreateTaskRequest { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = [machine.InstanceId] }, Retry = retry });
            await engine.ClaimAsync(machine, task.Execution!.Steps[0]);
            await engine.CompleteAsync(machine, task.Execution.Steps[0].Id, 1, outcome, exitCode: outcome == StepOutcome.Succeeded ? 0 : 3);
            return task;
        }
        (await ExplainAsync(engine, await RunAsync(null, StepOutcome.Succeeded))).ShouldSatisfyAllConditions(
            e => e.Summary.ShouldBe("It completed at 2026-01-01T00:00:00Z and waits for nothing."),
            e => e.WaitingFor.ShouldBeEmpty(),
            e => e.Steps[0].Sentence.ShouldBe("It succeeded on 'one' at 2026-01-01T00:00:00Z."));
        var failed = await RunAsync(new RetryPolicy { MaxAttempts = 3, BackoffSeconds = 60 }, StepOutcome.Failed);
        (await ExplainAsync(engine, failed)).ShouldSatisfyAllConditions(
            e => e.Summary.ShouldBe("It failed at 2026-01-01T00:00:00Z; attempt 2 of 3 is made at 2026-01-01T00:01:00Z."),
            e => e.WaitingFor.ShouldBe([WaitReason.RetryBackoff]),
            e => e.Until.ShouldBe(engine.Clock.GetUtcNow().AddMinutes(1)),
            e => e.Steps[0].Sentence.ShouldBe("It failed on 'one' at 2026-01-01T00:00:00Z (exitCode 3)."));
        await engine.MoveClocksAsync(TimeSpan.FromMinutes(1));
        await engine.Retries.RunOnceAsync(Cancelled);
        (await ExplainAsync(engine, failed)).ShouldSatisfyAllConditions(
            e => e.WaitingFor.ShouldBeEmpty(),
            e => e.Summary.ShouldMatch("^It failed at 2026-01-01T00:00:00Z; task_[a-z0-9]{26} is the attempt after it\\.$"));
        (await engine.Explainer.ExplainAsync((await engine.CreateOrganizationAsync("another")).OrganizationId, failed.Id, Cancelled)).ShouldBeNull();
    }

    private static async Task<TaskExplanationBody> ExplainAsync(Engine engine, TaskBody task) => (await engine.Explainer.ExplainAsync(engine.Owner.OrganizationId, task.Id, Cancelled))!;

    private static async Task<StepExplanationBody> StepAsync(Engine engine, TaskBody task) => (await ExplainAsync(engine, task)).Steps.Single();
}
