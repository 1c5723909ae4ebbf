using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tasks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks;

/// <summary>What the doctrine is told of where a task comes from: naming a runbook or a schedule is no way around a rule for what people ask for.</summary>
public sealed class TaskOriginTests
{
    private static readonly TargetSpec OnBox = new() { Workstations = ["box"] };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_request_that_says_beside_its_runbook_what_runs_or_where_is_a_request_too_and_stays_one(DatabaseKind kind)
    {
        await using var engine = await StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box", maxConcurrent: 100);
        var named = new CreateTaskRequest { RunbookId = "deploy" };
        foreach (var (request, isRequest) in new[]
        {
            (named, false), (named with { Priority = 3, TimeoutSeconds = 5, Intent = "mine" }, false),
            (named with { Command = new CommandSpec { Argv = ["evil"] } }, true), (named with { Environment = new Dictionary<string, string> { ["LD_PRELOAD"] = "/tmp/x.so" } }, true),
            (named with { EnvironmentFromMachine = ["HOME"] }, true), (named with { WorkingDirectory = "/tmp" }, true), (named with { Targets = OnBox }, true),
        })
        {
            DoctrineOrigin[] expected = isRequest ? [DoctrineOrigin.Runbook, DoctrineOrigin.Request] : [DoctrineOrigin.Runbook];
            var asked = Listen(engine);
            var task = await engine.CreateTaskAsync(request);
            asked.ShouldHaveSingleItem().ShouldBe(expected, request.ToString());
            (await engine.ClaimAsync(box, task.Execution!.Steps[0])).Refusal.ShouldBeNull();
            asked[^1].ShouldBe(expected, "as it was made, at the claim");
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_somebody_runs_by_hand_is_a_request_too_and_what_the_clock_brings_about_is_none(DatabaseKind kind)
    {
        await using var engine = await StartAsync(kind);
        var box = await engine.AddWorkstationAsync("box");
        var made = await engine.Schedules.CreateAsync(engine.Owner, new CreateScheduleRequest
        {
            Name = "tick", Cron = "* * * * *", Overlap = OverlapRule.Allow,
            Task = new CreateTaskRequest { RunbookId = "deploy", Targets = OnBox, Retry = new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 1 } },
        }, null, Token);
        var asked = Listen(engine);
        engine.Clock.Advance(TimeSpan.FromMinutes(1));
        await engine.Ticks.RunOnceAsync(Token);
        asked[^1].ShouldBe([DoctrineOrigin.Schedule, DoctrineOrigin.Runbook]);
        var tick = (await engine.QueryAsync<string>("SELECT id FROM tasks"))!;
        await FailAsync(engine, box, tick);
        engine.Clock.Advance(TimeSpan.FromSeconds(1));
        await engine.Retries.RunOnceAsync(Token);
        asked[^1].ShouldBe([DoctrineOrigin.Schedule, DoctrineOrigin.Runbook], "an attempt is what the first was");

        var attempt = (await engine.TaskAsync(tick)).RetriedByTaskId!;
        await FailAsync(engine, box, attempt);
        (await engine.Retrying.RetryAsync(engine.Owner, attempt, null, null, Token)).Problem.ShouldBeNull();
        asked[^1].ShouldBe([DoctrineOrigin.Schedule, DoctrineOrigin.Runbook, DoctrineOrigin.Request]);
        (await engine.Schedules.RunAsync(engine.Owner, made.Row!.Id, null, Token)).Problem.ShouldBeNull();
        asked[^1].ShouldBe([DoctrineOrigin.Schedule, DoctrineOrigin.Runbook, DoctrineOrigin.Request]);
    }

    /// <summary>The origins of each question from now on.</summary>
    private static List<IReadOnlyList<DoctrineOrigin>> Listen(Engine engine)
    {
        var asked = new List<IReadOnlyList<DoctrineOrigin>>();
        engine.Doctrine = question =>
        {
            asked.Add(DoctrineGate.OriginsOf(question.Origin));
            return new DoctrineDecision(ApprovalClass.None, [], false, null, false, 0);
        };
        return asked;
    }

    private static async Task<Engine> StartAsync(DatabaseKind kind)
    {
        var engine = await Engine.StartAsync(kind);
        var fields = new RunbookFields
        {
            IntentTemplate = "deploy", Mode = TaskMode.Command, ApprovalClass = ApprovalClass.None, Command = new CommandSpec { Argv = ["deploy"] },
            DefaultConstraints = new RunbookConstraints { Targets = OnBox },
        };
        await engine.ExecuteAsync("""
            INSERT INTO runbooks (id, organization_id, name, status, fields, version, created_by, updated_by, created_at, updated_at)
            VALUES ('rb_00000000000000000000000001', @OrganizationId, 'deploy', 'active', @fields, 1, @UserId, @UserId, 0, 0)
            """, new { fields = JsonSerializer.Serialize(fields, WireJson.Default.RunbookFields), engine.Owner.OrganizationId, engine.Owner.UserId });
        return engine;
    }

    private static async Task FailAsync(Engine engine, Device box, string taskId)
    {
        var step = (await engine.TaskAsync(taskId)).Execution!.Steps[0];
        (await engine.ClaimAsync(box, step)).Refusal.ShouldBeNull();
        (await engine.CompleteAsync(box, step.Id, 1, StepOutcome.Failed)).Kind.ShouldBe(StepMoveKind.Applied);
    }
}
