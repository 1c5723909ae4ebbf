using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>
/// As <see cref="InterleavingTests"/>, of the first half of a task's life: every pair of answers, changes, cancels, claims, expiries, new tags and doctrines, the first stopped before each of
/// its statements. One approval starts one thing, once, and only what was approved.
/// </summary>
public sealed class InterleavedApprovalTests
{
    private static readonly string[] WhilePending = ["approve", "reject", "patch", "cancel", "expire", "tag"];
    private static readonly string[] WhileApproved = ["claim", "patch", "cancel", "expire", "approve", "tag"];

    public static TheoryData<bool, string, string> Pairs()
    {
        var pairs = new TheoryData<bool, string, string>();
        foreach (var approved in new[] { false, true })
        {
            var operations = approved ? WhileApproved : WhilePending;
            foreach (var first in operations)
            {
                // A new doctrine has no statements of its own here at which it could be stopped.
                foreach (var second in operations.Append("doctrine")) pairs.Add(approved, first, second);
            }
        }
        return pairs;
    }

    [Theory, MemberData(nameof(Pairs))]
    public async Task Any_two_operations_leave_one_consistent_story(bool approved, string first, string second)
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Postgres);
        var machine = await engine.AddWorkstationAsync("one", maxConcurrent: 10_000);
        var admins = new Dictionary<string, Caller> { ["A"] = await engine.AddMemberAsync("ann", Role.Admin), ["B"] = await engine.AddMemberAsync("bob", Role.Admin) };
        var paused = 0;
        for (var pauseBefore = 1; ; pauseBefore++)
        {
            engine.Doctrine = DoctrineOfTasksTests.TaggedProduction;
            await engine.ExecuteAsync("UPDATE instances SET tags = '[]'");
            var task = approved ? await ApprovalTests.ApprovedAsync(engine) : await ApprovalTests.AskAsync(engine);
            var scene = new Scene(engine, machine, admins, task);
            if (!await InterleavingTests.InterleaveAsync(engine, scene.RunAsync, first, second, pauseBefore)) break;
            paused++;
            await engine.CheckInvariantsAsync(task.Id);
            await scene.CheckStoryAsync();
        }
        paused.ShouldBeGreaterThan(2, "the first operation was hardly ever stopped: the suite would prove nothing");
    }

    private sealed class Scene(Engine engine, Device machine, Dictionary<string, Caller> admins, TaskBody task)
    {
        private readonly List<string> _applied = [];
        private readonly Lock _gate = new();
        private bool _claimedBeforeTag;

        public async Task RunAsync(IServiceProvider services, string operation, string who)
        {
            var token = TestContext.Current.CancellationToken;
            var asked = task.Approvals!.Single().Id;
            var applied = operation switch
            {
                "approve" => await services.GetRequiredService<ApprovalService>().ApproveAsync(admins[who], task.Id, asked, "yes", token) is null,
                "reject" => await services.GetRequiredService<ApprovalService>().RejectAsync(admins[who], task.Id, asked, "no", token) is null,
                "patch" => await services.GetRequiredService<TaskEditor>().UpdateAsync(admins[who], task.Id, new UpdateTaskRequest { Intent = "changed by " + who }, token) is null,
                "cancel" => (await services.GetRequiredService<TaskCanceller>().CancelAsync(admins[who], task.Id, null, token)).Kind == CancelResultKind.Applied,
                "claim" => await ClaimAsync(services, token),
                "tag" => await TagAsync(services, token),
                "doctrine" => SetDoctrine(),
                _ => await ExpireAsync(services, token),
            };
            if (applied)
            {
                lock (_gate) _applied.Add(operation);
            }
        }

        public async Task CheckStoryAsync()
        {
            var now = await engine.TaskAsync(task.Id);
            var asked = now.Approvals![0];
            var story = $"{string.Join(", ", _applied)}: {now.State}, {asked.State}";
            if (task.State == TaskState.Planned) _applied.Count(o => o is "approve" or "reject").ShouldBeLessThanOrEqualTo(1, story);
            else _applied.ShouldNotContain("approve", story);
            _applied.Count(o => o == "claim").ShouldBeLessThanOrEqualTo(1, story);
            (asked.State == ApprovalState.Consumed).ShouldBe(_applied.Contains("claim"), story);
            // What was tagged first is claimed by nobody who was approved for less.
            if (_applied.Contains("claim") && _applied.Contains("tag")) _claimedBeforeTag.ShouldBeTrue(story);
            // Nothing starts that was changed after it was approved, or approved too long ago.
            if (_applied.Contains("claim")) (_applied.Contains("patch"), now.Approvals!.Count).ShouldBe((false, 1), story);
            if (_applied.Contains("patch") && now.State != TaskState.Cancelled && now.State != TaskState.Failed)
            {
                (now.State, asked.State is ApprovalState.Approved or ApprovalState.Pending).ShouldBe((TaskState.Planned, false), story);
                now.Intent.ShouldStartWith("changed by ");
            }
            if (_applied.Contains("reject")) now.State.ShouldBe(_applied.Contains("patch") && asked.State != ApprovalState.Rejected ? TaskState.Planned : TaskState.Failed, story);
        }

        private async Task<bool> ClaimAsync(IServiceProvider services, CancellationToken token) =>
            (await services.GetRequiredService<StepClaimer>().ClaimAsync(machine, task.Execution!.Steps[0].Id, Ids.New(Ids.Claim, TimeProvider.System), 0, token)).Refusal is null;

        /// <summary>Under the workstation's row, as everybody who tags.</summary>
        private async Task<bool> TagAsync(IServiceProvider services, CancellationToken token)
        {
            await services.GetRequiredService<Database>().WriteAsync(async tx =>
            {
                await tx.FirstAsync<string>("SELECT id FROM instances WHERE id = @InstanceId" + tx.ForUpdate, new { machine.InstanceId });
                _claimedBeforeTag = await tx.FirstAsync<bool>("SELECT EXISTS (SELECT 1 FROM steps WHERE task_id = @Id AND state = 'running')", new { task.Id });
                return await tx.ExecuteAsync("UPDATE instances SET tags = '[\"production\"]' WHERE id = @InstanceId", new { machine.InstanceId });
            }, token);
            return true;
        }

        private bool SetDoctrine()
        {
            engine.Doctrine = question => DoctrineOfTasksTests.TaggedProduction(question with { TargetTags = [["production"]] }) with { Version = question.AtVersion ?? 2 };
            return true;
        }

        /// <summary>Time passes, for everybody: eight days while it was pending, a quarter of an hour and more when it is approved.</summary>
        private async Task<bool> ExpireAsync(IServiceProvider services, CancellationToken token)
        {
            engine.Clock.Advance(TimeSpan.FromDays(8));
            await services.GetRequiredService<ApprovalLoop>().RunOnceAsync(token);
            return true;
        }
    }
}
