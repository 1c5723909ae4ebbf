using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Schedules;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Tasks.Retries;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Simulation.Tests.Story;

/// <summary>An owner, an admin and a member: they make tasks and schedules, answer, change, cancel, retry and tag, at moments that the seed chooses.</summary>
internal sealed class People(World world, SimulatedServer server, IReadOnlyList<Machine> machines, Promises promises, IReadOnlyList<Caller> members)
{
    private readonly List<string> _schedules = [];
    private bool _tired;

    public int Created { get; private set; }

    public void Plan(long untilMs)
    {
        for (var i = world.Between(10, 13); i > 0; i--) world.After(world.Between(0, untilMs * 2 / 3), CreateTask);
        if (world.Chance(0.6)) world.After(world.Between(0, 30_000), CreateSchedule);
        for (var i = world.Between(0, 3); i > 0; i--) world.After(world.Between(1000, untilMs), Tag);
        for (var i = world.Between(1, 6); i > 0; i--) world.After(world.Between(5000, untilMs), Meddle);
        LookAtInbox();
    }

    /// <summary>Nothing new any more; what is asked for is still answered.</summary>
    public void GoHome()
    {
        _tired = true;
        foreach (var id in _schedules) Schedule("schedule paused", id, (schedules, caller) => schedules.PauseAsync(caller, id, null, CancellationToken.None));
        // What was missed while the server was down, or by somebody's tag.
        foreach (var machine in machines) SetTag(machine, add: false);
    }

    private Caller Owner => members[0];

    private void CreateTask()
    {
        if (!server.Up)
        {
            world.After(2000, CreateTask);
            return;
        }
        var (request, made, starts) = (Request(), false, server.Starts);
        world.After(10_000, LookAgain);
        server.Do("a new task", services => services.GetRequiredService<TaskService>().CreateAsync(world.Pick(members), request, null, CancellationToken.None), result =>
        {
            if (result.TaskId is null)
            {
                world.Fail($"a task was refused: {result.Problem?.Value.Detail}");
                return;
            }
            made = true;
            Created++;
            Note("created", result.TaskId);
        });

        // Asked again when the server went down over it; one that sleeps may still answer.
        void LookAgain()
        {
            if (made) return;
            if (server.Starts != starts) CreateTask();
            else world.After(10_000, LookAgain);
        }
    }

    private CreateTaskRequest Request()
    {
        var any = world.Chance(0.4);
        return new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = ["true"] },
            Targets = any
                ? new TargetSpec { Tags = ["pool"] }
                : new TargetSpec { Workstations = [.. Some().Select(machine => machine.Device.InstanceId)] },
            MaxParallel = (int)world.Between(0, 2),
            OnWorkerLost = world.Chance(0.6) ? OnWorkerLost.Requeue : OnWorkerLost.Fail,
            StopAfterFailures = world.Chance(0.2) ? 1 : null,
            TimeoutSeconds = world.Chance(0.2) ? (int)world.Between(2, 12) : 3600,
            QueueTimeoutSeconds = world.Chance(0.15) ? (int)world.Between(5, 60) : 86_400,
            LeaseGraceSeconds = world.Chance(0.3) ? (int)world.Between(5, 20) : null,
            ApprovalClass = world.Chance(0.35) ? ApprovalClass.SensitiveWrite : world.Chance(0.1) ? ApprovalClass.ProductionMutation : null,
            Retry = world.Chance(0.3) ? new RetryPolicy { MaxAttempts = (int)world.Between(2, 3), BackoffSeconds = (int)world.Between(1, 40), On = [StepReason.ExitCode, StepReason.WorkerLost] } : null,
        };
    }

    private IEnumerable<Machine> Some()
    {
        var first = world.Random.Next(machines.Count);
        for (var i = world.Between(1, 3); i > 0; i--) yield return machines[(first + (int)i) % machines.Count];
    }

    private void CreateSchedule()
    {
        var request = new CreateScheduleRequest
        {
            Name = "often", Cron = world.Pick((string[])["* * * * *", "* * * * *", "*/5 * * * *", "*/30 * * * *"]), Overlap = world.Pick(Enum.GetValues<OverlapRule>()), MissedRuns = world.Pick(Enum.GetValues<MissedRunRule>()),
            Task = Request() with { Targets = new TargetSpec { Workstations = [world.Pick(machines).Device.InstanceId] }, ApprovalClass = null },
        };
        server.Do("a new schedule", services => services.GetRequiredService<ScheduleService>().CreateAsync(Owner, request, null, CancellationToken.None), result =>
        {
            _schedules.Add(result.Row!.Id);
            Note("scheduled", result.Row.Id);
        });
    }

    /// <summary>Whoever has the time looks at what waits for an answer, and answers most of it.</summary>
    private void LookAtInbox()
    {
        world.After(server.Asleep ? 60_000 : _tired ? 2000 : world.Between(2000, 15_000), LookAtInbox);
        if (!server.Up || server.Asleep) return;
        foreach (var approval in promises.Approvals.Where(approval => approval.State == "pending").ToList())
        {
            if (!_tired && world.Chance(0.35)) continue; // later
            var reject = !_tired && world.Chance(0.12);
            // Nobody approves a production mutation of their own: somebody else is asked the next time.
            var caller = members[world.Random.Next(2)];
            server.Do("an answer", services =>
            {
                var service = services.GetRequiredService<ApprovalService>();
                return reject ? service.RejectAsync(caller, approval.TaskId, approval.Id, "no", CancellationToken.None)
                    : service.ApproveAsync(caller, approval.TaskId, approval.Id, "yes", CancellationToken.None);
            }, problem =>
            {
                if (problem is null) Note(reject ? "rejected" : "approved", approval.TaskId);
            });
        }
    }

    private void Meddle()
    {
        if (_tired || !server.Up) return;
        var tasks = promises.Tasks;
        if (tasks.Count == 0) return;
        var task = world.Pick(tasks);
        switch (world.Random.Next(6))
        {
            case 0 or 1:
                // What runs, or would be tried again, is more interesting than what has ended.
                if (tasks.Where(t => t.State is "executing" || t.State is "failed" && world.Chance(0.3)).ToList() is { Count: > 0 } alive) task = world.Pick(alive);
                server.Do("a cancel", services => services.GetRequiredService<TaskCanceller>().CancelAsync(Owner, task.Id, "enough", CancellationToken.None), result =>
                {
                    if (result.Kind == CancelResultKind.Applied) Note("cancelled", task.Id);
                });
                break;
            case 2 or 3:
                var waiting = tasks.Where(t => t.State is "planned" or "queued").ToList();
                var changed = waiting.Count > 0 ? world.Pick(waiting) : task;
                // By the member only: of what owner and admin had both touched neither could approve a production mutation.
                var change = new UpdateTaskRequest { Intent = $"changed {world.Now}", ApprovalClass = world.Chance(0.3) ? ApprovalClass.SensitiveWrite : world.Chance(0.3) ? ApprovalClass.None : null };
                server.Do("a change", services => services.GetRequiredService<TaskEditor>().UpdateAsync(members[^1], changed.Id, change, CancellationToken.None), problem =>
                {
                    if (problem is null) Note("patched", changed.Id);
                });
                break;
            case 4:
                var failed = tasks.Where(t => t.State is "failed" or "cancelled").ToList();
                if (failed.Count == 0) break;
                var old = world.Pick(failed);
                // By the member, as a change: the attempt is of whoever made the task and of whoever tries it again.
                server.Do("a retry", services => services.GetRequiredService<RetryService>().RetryAsync(members[^1], old.Id, null, null, CancellationToken.None), result =>
                {
                    if (result.TaskId is null) return;
                    world.Ledger.Add("retry: byHand");
                    Note("retried", result.TaskId);
                });
                break;
            default:
                if (_schedules.Count == 0) break;
                var id = _schedules[0];
                if (world.Chance(0.5))
                {
                    server.Do("a run", services => services.GetRequiredService<ScheduleService>().RunAsync(Owner, id, null, CancellationToken.None), result =>
                    {
                        if (result.TaskId is not null) Note("schedule run", id);
                    });
                    break;
                }
                Schedule("schedule paused", id, (schedules, caller) => schedules.PauseAsync(caller, id, "for a while", CancellationToken.None));
                world.After(world.Between(1000, 90_000), () =>
                {
                    if (!_tired) Schedule("schedule resumed", id, (schedules, caller) => schedules.ResumeAsync(caller, id, CancellationToken.None));
                });
                break;
        }
    }

    private void Schedule(string what, string id, Func<ScheduleService, Caller, Task<ScheduleResult>> act) =>
        server.Do(what, services => act(services.GetRequiredService<ScheduleService>(), Owner), result =>
        {
            if (result.Row is not null) Note(what, id);
        });

    private void Tag()
    {
        if (_tired || !server.Up) return;
        var machine = world.Pick(machines);
        SetTag(machine, add: true);
        world.After(world.Between(5000, 80_000), () => SetTag(machine, add: false));
    }

    /// <summary>What the doctrine guards.</summary>
    private void SetTag(Machine machine, bool add)
    {
        if (!server.Up) return;
        var request = add ? new UpdateInstanceRequest { AddTags = ["production"] } : new UpdateInstanceRequest { RemoveTags = ["production"] };
        server.Do("a tag", services => services.GetRequiredService<InstanceService>().UpdateAsync(Owner, machine.Device.InstanceId, request, CancellationToken.None), result =>
        {
            if (result.Change == InstanceChange.Applied) Note(add ? "tagged" : "untagged", machine.Device.InstanceId);
        });
    }

    private void Note(string what, string id)
    {
        world.Ledger.Add("person: " + what);
        world.Say($"somebody: {what} {world.Names.Of(id)}");
    }
}
