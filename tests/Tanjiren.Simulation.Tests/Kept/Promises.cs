using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Simulation.Tests.Kept;

/// <summary>
/// What must hold, whatever happens: looked at after each commit, and who executes what after each act. Each promise says in its own words what the product promises, not how it
/// keeps it.
/// </summary>
internal sealed class Promises(World world, SimulatedServer server, Eye eye, IReadOnlyList<Machine> machines)
{
    private readonly StartPromises _starts = new(world, eye);
    private readonly FollowPromises _follows = new(world);
    private readonly Dictionary<string, (long Generation, string Digest)> _accepted = [];
    private readonly Dictionary<string, StepSeen> _claimed = [];
    private readonly HashSet<string> _planned = [];
    private readonly Dictionary<string, (Machine Machine, Job Job)> _workers = [];
    private Dictionary<string, StepSeen> _steps = [];
    private Dictionary<string, TaskSeen> _tasks = [];
    private Dictionary<string, ApprovalSeen> _approvals = [];

    public IReadOnlyCollection<StepSeen> Steps => _steps.Values;
    public IReadOnlyList<TaskSeen> Tasks { get; private set; } = [];
    public IReadOnlyList<ApprovalSeen> Approvals { get; private set; } = [];

    /// <summary>The TTL of a lease has passed.</summary>
    public Action<StepSeen> WentStale { get; set; } = _ => { };

    /// <summary>A step is offered again; its holder was the one of the second.</summary>
    public Action<StepSeen, StepSeen> Requeued { get; set; } = (_, _) => { };

    /// <summary>A step was claimed again: as it is now, and as it was after the claim before.</summary>
    public Action<StepSeen, StepSeen> Reclaimed { get; set; } = (_, _) => { };

    public void ResultAccepted(string stepId, long generation, string digest)
    {
        if (_accepted.TryAdd(stepId, (generation, digest)) || _accepted[stepId] == (generation, digest)) return;
        world.Fail($"two results of {Name(stepId)} were accepted: of generation {_accepted[stepId].Generation} and of {generation}");
    }

    /// <summary>The server has told an agent that it had this result already.</summary>
    public void ResultKnown(string stepId, long generation, string digest)
    {
        if (_steps.TryGetValue(stepId, out var step) && step.CompletedGeneration == generation && step.Digest != digest)
            world.Fail($"a result of {Name(stepId)} under generation {generation} was taken for known, and the one that is known is another");
    }

    public void Check()
    {
        if (world.Failure is not null) return;
        var (steps, tasks, approvals, events) = (eye.Steps(), eye.Tasks(), eye.Approvals(), eye.Events());
        var sessions = eye.Sessions();
        var tasksById = tasks.ToDictionary(task => task.Id);

        if (events.Count(e => e.Kind == "retryDropped") is > 0 and var dropped) world.Ledger.Add("retry: called off", dropped);
        CheckApprovals(approvals);
        _starts.Note(approvals, events);
        foreach (var step in steps) CheckStep(step, _steps.GetValueOrDefault(step.Id), tasksById[step.TaskId], sessions, events, approvals);
        foreach (var gone in _steps.Values.Where(old => old.Attempts > 0).ExceptBy(steps.Select(step => step.Id), old => old.Id)) world.Fail($"{Name(gone.Id)} is gone, which was claimed before");
        CheckTasks(tasks, steps, approvals, events);
        _follows.CheckTicks(eye.Schedules());
        CheckAccepted(steps);

        _steps = steps.ToDictionary(step => step.Id);
        _tasks = tasksById;
        (Tasks, Approvals) = (tasks, approvals);
        CheckWorkers();
    }

    /// <summary>
    /// At most one live worker for each step, and none while it is offered or given up. Live is what executes: not what is stopped, nor what sleeps, nor what has been awake for less
    /// than the second in which the agent notices that it slept.
    /// </summary>
    public void CheckWorkers()
    {
        _workers.Clear();
        foreach (var machine in machines)
        {
            if (!machine.HasPower || machine.Asleep || world.Now - machine.AwokeAt <= 1000) continue;
            foreach (var job in machine.Jobs)
            {
                if (job is not { Alive: true, Stopped: false }) continue;
                if (_workers.TryGetValue(job.StepId, out var other))
                    world.Fail($"{Name(job.StepId)} is executed by {other.Machine.Name} under generation {other.Job.Generation} and by {machine.Name} under generation {job.Generation}");
                _workers[job.StepId] = (machine, job);
                if (!_steps.TryGetValue(job.StepId, out var step)) continue;
                if (step.State == "queued" || step.State == "running" && step.Generation != job.Generation || step is { State: "failed", Reason: "workerLost", CompletedGeneration: null })
                    world.Fail($"{Name(step.Id)} is {step.State} under generation {step.Generation} while {machine.Name} executes generation {job.Generation} of it");
            }
        }
    }

    /// <summary>What should have ended when everything is mended and answered. An attempt that is not due yet says so by its time: a wall clock that was put back made it late.</summary>
    public IReadOnlyList<string> Unended() => [.. Tasks.Where(task => !TaskRules.IsTerminal(WireNames.Parse<TaskState>(task.State)))
        .Select(task => $"{Name(task.Id)} ({task.State}, {task.ApprovalStatus}; {string.Join(", ", _steps.Values.Where(step => step.TaskId == task.Id).Select(step => $"{Name(step.Id)} {step.State} {step.LeaseState}"))})"),
        .. eye.Retries().Where(retry => retry.Value < server.Clock.WallMs - 20_000).Select(retry => $"the retry of {Name(retry.Key)}")];

    private void CheckStep(
        StepSeen step, StepSeen? old, TaskSeen task, IReadOnlyDictionary<string, string> sessions, IReadOnlyList<EventSeen> events, IReadOnlyList<ApprovalSeen> approvals)
    {
        if (step.State == "running" && (!sessions.TryGetValue(step.Session!, out var instance) || instance != step.Holder))
            world.Fail($"the lease of {Name(step.Id)} belongs to {Name(step.Session)}, which is not the open session of {Name(step.Holder)}");
        if (old is null || old == step) return;

        Move<StepState>("step", old.State, step.State, StepRules.MayMove, step.Id);
        Move<LeaseState>("lease", old.LeaseState, step.LeaseState, LeaseRules.MayMove, step.Id);
        if (step.Generation < old.Generation) world.Fail($"the generation of {Name(step.Id)} fell from {old.Generation} to {step.Generation}");
        if (old.State == "queued" && step.State == "running")
        {
            world.Say($"{Name(step.Id)} is claimed by {Name(step.Holder)} under generation {step.Generation}");
            if (_claimed.TryGetValue(step.Id, out var before)) Reclaimed(step, before);
            _claimed[step.Id] = step;
            if (step.Generation != old.Generation + 1) world.Fail($"a claim raised the generation of {Name(step.Id)} from {old.Generation} to {step.Generation}");
            _starts.Check(step, task, approvals);
        }
        if (old.LeaseState == "held" && step.LeaseState == "stale") WentStale(step);
        if (old.State == "running" && step.State != "running") CheckEnd(step, old, events);
        if (old.State == "running" && step.State == "running" && step.Generation != old.Generation)
            world.Fail($"{Name(step.Id)} runs on under generation {step.Generation} instead of {old.Generation}");
    }

    private void CheckEnd(StepSeen step, StepSeen old, IReadOnlyList<EventSeen> events)
    {
        var how = events.LastOrDefault(e => e.StepId == step.Id && e.Kind is "requeued" or "released");
        world.Say($"{Name(step.Id)} is {step.State} after generation {old.Generation} ({(step.State == "queued" ? $"{how?.Kind} {how?.Detail}" : step.Reason ?? "no reason")})");
        if (step.Generation != old.Generation + 1) world.Fail($"the end of a lease took the generation of {Name(step.Id)} from {old.Generation} to {step.Generation}");
        if (step.CompletedGeneration is { } completed && completed != old.Generation)
            world.Fail($"{Name(step.Id)} ran under generation {old.Generation} and was completed by a result of generation {completed}");
        if (step.State == "queued")
        {
            world.Ledger.Add("requeue: " + (how?.Kind == "released" ? "released" : how?.Detail));
            Requeued(step, old);
        }
        var reaped = step.State == "queued" ? how is { Kind: "requeued", Detail: "workerLost" } : step.Reason == "workerLost" && step.CompletedGeneration is null;
        if (!reaped) return;
        world.Ledger.Add("lease: lost to a reap");
        if (old.LeaseState != "stale" || old.ExpiresAt + old.GraceMs >= server.LeaseNow())
            world.Fail($"the lease of {Name(step.Id)} was given up {old.ExpiresAt + old.GraceMs - server.LeaseNow()} ms before its grace had passed (it was {old.LeaseState})");
    }

    private void CheckTasks(IReadOnlyList<TaskSeen> tasks, IReadOnlyList<StepSeen> steps, IReadOnlyList<ApprovalSeen> approvals, IReadOnlyList<EventSeen> events)
    {
        var retries = eye.Retries();
        var stepsOf = steps.ToLookup(step => step.TaskId);
        foreach (var task in tasks)
        {
            var old = _tasks.GetValueOrDefault(task.Id);
            if (old is not null) Move<TaskState>("task", old.State, task.State, TaskRules.MayMove, task.Id);
            else if (task.RetryOf is not null) world.Say($"{Name(task.Id)} is the attempt after {Name(task.RetryOf)}");
            else if (task.Tick is { } tick) CheckTick(task, tick);

            var own = stepsOf[task.Id].ToList();
            var (running, open) = (own.Count(step => step.State == "running"), own.Count(step => step.State is "queued" or "running"));
            if ((task.Active, task.Open, task.Failed) != (running, open, own.Count(step => step.State == "failed")))
                world.Fail($"the counters of {Name(task.Id)} say {task.Active} active, {task.Open} open, {task.Failed} failed; its steps {string.Join(", ", own.Select(step => $"{step.State}/{step.LeaseState}"))}");
            if (task.MaxParallel > 0 && running > task.MaxParallel) world.Fail($"{running} steps of {Name(task.Id)} run at once; maxParallel is {task.MaxParallel}");

            var asked = approvals.LastOrDefault(approval => approval.TaskId == task.Id);
            var used = approvals.Where(approval => approval.TaskId == task.Id && approval.State == "consumed").Select(approval => approval.Number).DefaultIfEmpty(0).Max();
            var says = task.State switch
            {
                "planned" => asked?.State == "pending" && open == 0,
                "queued" or "executing" => open > 0 && own.Where(step => step.State == "queued" && step.ApprovalFrom > used).All(step => asked?.State is "pending" or "approved" && asked.Number >= step.ApprovalFrom),
                _ => open == 0 && asked?.State is not ("pending" or "approved"),
            };
            if (!says) world.Fail($"{Name(task.Id)} is {task.State} and nothing says what it waits for: {open} open steps, approval {asked?.Number} {asked?.State}, used {used}");
        }
        _follows.CheckRetries(tasks, _tasks, stepsOf, retries.Keys.ToHashSet(), events);
        foreach (var twice in tasks.Where(task => task.RetryOf is not null).GroupBy(task => task.RetryOf).Where(attempts => attempts.Count() > 1))
            world.Fail($"{Name(twice.Key)} has {twice.Count()} attempts after it");
        foreach (var both in tasks.Where(task => task.RetryOf is not null && retries.ContainsKey(task.RetryOf))) world.Fail($"{Name(both.RetryOf)} was tried again and waits to be");
        foreach (var twice in tasks.Where(task => task.Tick is not null).GroupBy(task => (task.ScheduleId, task.Tick)).Where(made => made.Count() > 1))
            world.Fail($"one tick of {Name(twice.Key.ScheduleId)} made {string.Join(" and ", twice.Select(task => Name(task.Id)))}");
        foreach (var planned in retries.Keys.Where(id => !_planned.Contains(id)))
        {
            _planned.Add(planned);
            world.Ledger.Add("retry: planned");
        }
    }

    private void CheckTick(TaskSeen task, long tick)
    {
        world.Say($"{Name(task.Id)} is made by a tick");
        if (tick > task.CreatedAt && !server.Clock.WentBack) world.Fail($"{Name(task.Id)} was made {tick - task.CreatedAt} ms before its tick");
    }

    private void CheckApprovals(IReadOnlyList<ApprovalSeen> approvals)
    {
        foreach (var approval in approvals)
        {
            if (_approvals.TryGetValue(approval.Id, out var old)) Move<ApprovalState>("approval", old.State, approval.State, ApprovalRules.MayMove, approval.Id);
            else if (approval.State != "pending") world.Fail($"{Name(approval.Id)} began as {approval.State}");
        }
        _approvals = approvals.ToDictionary(approval => approval.Id);
    }

    private void CheckAccepted(IReadOnlyList<StepSeen> steps)
    {
        foreach (var step in steps)
        {
            if (_accepted.TryGetValue(step.Id, out var result) && (step.CompletedGeneration, step.Digest) != (result.Generation, result.Digest))
                world.Fail($"the result of {Name(step.Id)}, generation {result.Generation}, was accepted and is lost");
        }
    }

    private void Move<TState>(string of, string from, string to, Func<TState, TState, bool> mayMove, string id) where TState : struct, Enum
    {
        if (from == to) return;
        world.Ledger.Add(Ledger.Move(of, from, to));
        if (!mayMove(WireNames.Parse<TState>(from), WireNames.Parse<TState>(to))) world.Fail($"the {of} of {Name(id)} moved from {from} to {to}");
    }

    private string Name(string? id) => world.Names.Of(id);
}
