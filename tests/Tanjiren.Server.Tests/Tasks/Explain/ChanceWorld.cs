using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Tests.Tasks.Explain;

/// <summary>Situations by chance: an organization of some workstations and one task, with this and that gone wrong. Each has an organization of its own in one database.</summary>
internal sealed class ChanceWorld
{
    private static readonly DoctrineDecision Free = new(ApprovalClass.None, [], false, null, false, 1);

    /// <summary>Kinds of what may happen to a machine; beyond them nothing does.</summary>
    private const int Disturbances = 12;

    private readonly Engine _engine;
    private readonly Dictionary<string, Func<DoctrineQuestion, DoctrineDecision>> _doctrines = [];

    public ChanceWorld(Engine engine)
    {
        _engine = engine;
        engine.Doctrine = question => _doctrines.TryGetValue(question.OrganizationId, out var doctrine) ? doctrine(question) : Free;
    }

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    private long Now => _engine.Clock.GetUtcNow().ToUnixTimeMilliseconds();

    public async Task<Situation> MakeAsync(int seed)
    {
        var random = new Random(seed);
        bool Chance(int percent) => random.Next(100) < percent;
        var owner = await _engine.CreateOrganizationAsync($"chance {seed}");
        var machines = new List<Device>();
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            var machine = await _engine.AddWorkstationAsync($"m{i}", Chance(35) ? ["gpu", "prod"] : ["gpu"], maxConcurrent: random.Next(1, 3), owner);
            await _engine.ExecuteAsync("UPDATE instances SET labels = @labels WHERE id = @InstanceId", new { labels = Labels(8), machine.InstanceId });
            machines.Add(machine);
        }
        foreach (var machine in machines.Where(_ => Chance(15))) await StartAsync(owner, machine, On(machine));

        // As it is made: perhaps something wants an approval, perhaps it is frozen.
        var atCreation = Chance(25) ? Wanting(Chance(50) ? ApprovalClass.SensitiveWrite : ApprovalClass.ProductionMutation)
            : Chance(15) ? Free with { FrozenUntil = _engine.Clock.GetUtcNow().AddHours(Chance(80) ? 1 : -1) } : Free;
        _doctrines[owner.OrganizationId] = _ => atCreation;
        var any = new TargetSpec { Tags = ["gpu"], Labels = Chance(30) ? new Dictionary<string, string> { ["os"] = "linux" } : null };
        var request = Chance(50) ? new CreateTaskRequest { Targets = any, Resources = Chance(70) ? new ResourceSpec { Cpu = 4 } : null } : On([.. machines]);
        var taskId = (await _engine.TryCreateTaskAsync(request with { Command = new CommandSpec { Argv = ["true"] }, MaxParallel = random.Next(0, 3) }, owner)).TaskId!;
        var task = (await _engine.Store.FindAsync(owner.OrganizationId, taskId, Cancelled))!;
        if (task.State == TaskState.Planned && Chance(85)) (await _engine.Approvals.ApproveAsync(owner, taskId, null, "because", Cancelled)).ShouldBeNull();
        task = (await _engine.Store.FindAsync(owner.OrganizationId, taskId, Cancelled))!;
        if (Chance(25) && task.Execution!.Steps is [var first, _, ..]) await _engine.ClaimAsync(machines.Single(m => m.InstanceId == first.InstanceId), first);

        var effect = random.Next(7);
        _doctrines[owner.OrganizationId] = ByTag(effect);
        if (seed % 4 == 0)
        {
            // The same from a real document, after one without rules as the snapshot.
            await _engine.WriteDoctrineAsync(owner.OrganizationId, 1, "# nothing\n");
            await _engine.WriteDoctrineAsync(owner.OrganizationId, 2, DocumentOf(effect));
        }
        // All of them alike, else the others would do where one can't.
        int? alike = Chance(50) ? random.Next(Disturbances) : null;
        foreach (var machine in machines) await DisturbAsync(owner, machine, alike ?? random.Next(Disturbances * 2));
        await DisturbAsync(taskId, machines, random);
        return new Situation(_engine, owner, taskId, machines);
    }

    private async Task StartAsync(Caller owner, Device machine, CreateTaskRequest request)
    {
        var task = (await _engine.Store.FindAsync(owner.OrganizationId, (await _engine.TryCreateTaskAsync(request, owner)).TaskId!, Cancelled))!;
        (await _engine.ClaimAsync(machine, task.Execution!.Steps[0])).Refusal.ShouldBeNull();
    }

    private async Task DisturbAsync(Caller owner, Device machine, int what)
    {
        Task SetAsync(string what) => _engine.ExecuteAsync($"UPDATE instances SET {what} WHERE id = @InstanceId", new { machine.InstanceId, Now, owner.OrganizationId });
        switch (what)
        {
            case 0: await SetAsync("last_heartbeat_at = @Now - 120000"); break;
            case 1: await SetAsync("last_heartbeat_at = @Now - 119999"); break; // the last millisecond
            case 2: await SetAsync("last_heartbeat_at = NULL"); break;
            case 3: await SetAsync("draining = 1"); break;
            case 4: await SetAsync("agent_draining = 1"); break;
            case 5: await SetAsync("tags = '[]'"); break;
            case 6: await SetAsync("tags = '[\"gpu\",\"prod\"]'"); break;
            case 7: await SetAsync("labels = '{\"os\":\"darwin\",\"cpuCount\":\"8\"}'"); break;
            case 8: await SetAsync("labels = '{\"os\":\"linux\",\"cpuCount\":\"2\"}'"); break;
            case 9: await SetAsync("removed_at = @Now"); break;
            case 10: await _engine.ExecuteAsync("UPDATE instance_keys SET revoked_at = @Now WHERE instance_id = @InstanceId", new { machine.InstanceId, Now }); break;
            case 11:
                await _engine.ExecuteAsync("""
                    INSERT INTO oauth_grants (id, user_id, organization_id, client_id, scope, created_at, expires_at, revoked_at, revoke_reason)
                    VALUES (@grant, @UserId, @OrganizationId, 'cli', '', 0, 0, @Now, 'signed_out');
                    UPDATE instances SET grant_id = @grant WHERE id = @InstanceId;
                    """, new { grant = Ids.New(Ids.Grant, _engine.Clock), owner.UserId, owner.OrganizationId, Now, machine.InstanceId });
                break;
        }
    }

    private async Task DisturbAsync(string taskId, IReadOnlyList<Device> machines, Random random)
    {
        Task SetAsync(string what, string of = "tasks", string key = "id") => _engine.ExecuteAsync($"UPDATE {of} SET {what} WHERE {key} = @taskId", new { taskId, Now });
        switch (random.Next(16))
        {
            case 0: await SetAsync("held_at = @Now"); break;
            case 1: await SetAsync("frozen_until = @Now"); break; // over just now
            case 2: await SetAsync("frozen_until = @Now + 1"); break;
            case 3: await SetAsync("action_hash = 'changed'"); break;
            case 4: await SetAsync("expires_at = @Now", "approvals", "task_id"); break;
            case 5: await SetAsync("expires_at = @Now + 1", "approvals", "task_id"); break;
            case 6 or 7:
                foreach (var machine in machines.Where(_ => random.Next(3) > 0))
                    await _engine.ExecuteAsync("""
                        INSERT INTO step_holds (step_id, instance_id, held_until, forbidden) SELECT id, @InstanceId, @until, @forbidden FROM steps WHERE task_id = @taskId AND state = 'queued'
                        """, new { machine.InstanceId, taskId, until = Now + random.Next(2), forbidden = random.Next(2) });
                break;
        }
    }

    /// <summary>What the doctrine makes of machines with the tag <c>prod</c> now, and of none without.</summary>
    private Func<DoctrineQuestion, DoctrineDecision> ByTag(int effect)
    {
        var decision = effect switch
        {
            0 => Free with { Forbidden = true, Findings = [new DoctrineFinding("no-prod", "forbid", "it says so")] },
            1 => Free with { FrozenUntil = _engine.Clock.GetUtcNow().AddHours(1) },
            2 => Free with { FrozenUntil = _engine.Clock.GetUtcNow() }, // over just now
            3 => Wanting(ApprovalClass.SensitiveWrite),
            4 => Wanting(ApprovalClass.ProductionMutation),
            _ => Free,
        };
        return question => question.TargetTags.Any(tags => tags.Contains("prod")) ? decision : Free;
    }

    /// <summary>As <see cref="ByTag"/>, and one that can't be read. The clock stands at the beginning of 2026.</summary>
    private static string DocumentOf(int effect) => effect switch
    {
        0 => "forbid:\n  - name: no-prod\n    because: it says so\n    when: { tags: [prod], pattern: '^true$' }\n",
        1 => "freeze:\n  - name: weekend\n    from: 2026-01-01\n    to: 2026-01-02\n    effect: wait\n    when: { tags: [prod] }\n",
        2 => "freeze:\n  - name: weekend\n    from: 2025-12-31\n    to: 2026-01-01\n    effect: refuse\n    when: { tags: [prod] }\n", // over just now
        3 => "approvals:\n  - name: careful\n    class: sensitive_write\n    when: { tags: [prod] }\n",
        4 => "approvals:\n  - name: careful\n    class: production_mutation\n    when: { tags: [prod] }\n",
        5 => "later: []\n",
        _ => "# nothing more\n",
    };

    private static DoctrineDecision Wanting(ApprovalClass wanted) => Free with { Class = wanted, Findings = [new DoctrineFinding("careful", "sensitive_write", "it is Friday")] };

    private static CreateTaskRequest On(params Device[] machines) =>
        new() { Command = new CommandSpec { Argv = ["true"] }, Targets = new TargetSpec { Workstations = [.. machines.Select(m => m.InstanceId)] } };

    private static string Labels(int cpus) => JsonSerializer.Serialize(new Dictionary<string, string> { ["os"] = "linux", ["cpuCount"] = $"{cpus}" });
}

/// <summary>One of them.</summary>
internal sealed class Situation(Engine engine, Caller owner, string taskId, IReadOnlyList<Device> machines)
{
    public IReadOnlyList<Device> Machines => machines;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public async Task<TaskExplanationBody> ExplainAsync() => (await engine.Explainer.ExplainAsync(owner.OrganizationId, taskId, Cancelled))!;

    /// <summary>Whether this machine is let in, is offered the step, and its claim succeeds.</summary>
    public async Task<bool> StartsAsync(string instanceId, string stepId)
    {
        // Who has no bound key is no Device: its requests end at the proof (ExplainRouteTests shows that over HTTP).
        if (!await engine.QueryAsync<bool>("SELECT EXISTS (SELECT 1 FROM instance_keys WHERE instance_id = @instanceId AND revoked_at IS NULL)", new { instanceId })) return false;
        var offered = await engine.Database.ReadAsync(sql => engine.Work.PendingAsync(sql, owner.OrganizationId, instanceId), Cancelled);
        if (offered.FirstOrDefault(s => s.StepId == stepId) is not { } step) return false;
        return (await engine.Claimer.ClaimAsync(machines.Single(m => m.InstanceId == instanceId), stepId, engine.NewClaimId(), step.ExpectedGeneration, Cancelled)).Refusal is null;
    }
}
