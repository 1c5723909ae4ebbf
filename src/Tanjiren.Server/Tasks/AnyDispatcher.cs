using System.Collections.Concurrent;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Wakes workstations for a step that any one may run: the best ready worker first, the next best after 250 ms without a claim, so that a thousand machines do
/// not race for one job. Steps that come together are spread: a worker that was woken a moment ago counts as that much busier. Only hints: whoever polls finds the
/// step anyway. For a step that nobody may claim now nobody is woken; whoever brings its time about dispatches it again.
/// </summary>
internal sealed partial class AnyDispatcher(
    Database database, InstanceDirectory directory, FleetView fleets, MissedWakes missed, WakeUps wakeUps, TimeProvider clock, LeaseOptions options, WorkstationOptions workstations,
    ILogger<AnyDispatcher> logger)
    : IHostedService, ILoop, IDisposable
{
    /// <summary>So many candidates are looked at anew before the first of them is woken; nobody gets further down the list than a few.</summary>
    private const int Shortlist = 16;

    /// <summary>So many steps are dispatched at once, each with a statement every 250 ms; a hundred thousand that are queued together must not make it as many. The others wait for their turn.</summary>
    internal const int MaxAtOnce = 512;

    /// <summary>A pass is one step's: from the first candidate that is woken to the claim.</summary>
    public LoopRecord Record { get; } = new("dispatcher", clock);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Dispatching> _running = [];
    private readonly ConcurrentDictionary<string, int> _woken = [];
    private readonly SemaphoreSlim _turns = new(MaxAtOnce);
    private readonly CancellationTokenSource _stop = new();

    private sealed class Dispatching
    {
        public Task Task { get; set; } = Task.CompletedTask;
        /// <summary>Completed by whoever wants the walk that is under way to end; null: its turn has not come.</summary>
        public TaskCompletionSource? Over { get; set; }
        public bool Again { get; set; }
    }

    /// <summary>
    /// Starts waking for this step. One that is being dispatched already starts over at once: it may have been given back meanwhile, and the old list of candidates is
    /// spent. Never throws, never blocks; the set is bounded by what is queued and unclaimed.
    /// </summary>
    public void Dispatch(string stepId)
    {
        lock (_gate)
        {
            if (_stop.IsCancellationRequested) return;
            if (_running.TryGetValue(stepId, out var running))
            {
                // Before its turn it has read nothing that could be old.
                if (running.Over is not { } over) return;
                running.Again = true;
                over.TrySetResult();
                return;
            }
            _running[stepId] = running = new Dispatching();
            running.Task = Task.Run(() => RunAsync(stepId, running, _stop.Token));
        }
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stop.CancelAsync();
        Task[] running;
        lock (_gate) running = [.. _running.Values.Select(r => r.Task)];
        await Task.WhenAll(running).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void Dispose()
    {
        _stop.Dispose();
        _turns.Dispose();
    }

    private async Task RunAsync(string stepId, Dispatching running, CancellationToken cancellationToken)
    {
        await _turns.WaitAsync(cancellationToken);
        try
        {
            while (NextWalk(stepId, running) is { } over) await DispatchAsync(stepId, over, cancellationToken);
        }
        finally
        {
            _turns.Release();
        }
    }

    /// <summary>Null when there is none: the step is not being dispatched any more.</summary>
    private TaskCompletionSource? NextWalk(string stepId, Dispatching running)
    {
        lock (_gate)
        {
            if (!_stop.IsCancellationRequested && (running.Over is null || running.Again))
            {
                running.Again = false;
                return running.Over = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
            _running.Remove(stepId);
            return null;
        }
    }

    private async Task DispatchAsync(string stepId, TaskCompletionSource over, CancellationToken cancellationToken)
    {
        var began = clock.GetTimestamp();
        try
        {
            await WakeOneAfterAnotherAsync(stepId, began, over.Task, cancellationToken);
            Record.Ran(clock.GetElapsedTime(began));
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The server stops; the step waits for a poll elsewhere.
        }
        catch (Exception e)
        {
            Record.Failed(e, clock.GetElapsedTime(began));
            LogFailed(logger, stepId, e);
        }
    }

    /// <summary>Ends when the step is claimed or may not be, when everybody who was ready since this began was woken, or when it is over because it shall start over.</summary>
    private async Task WakeOneAfterAnotherAsync(string stepId, long began, Task over, CancellationToken cancellationToken)
    {
        if (await StartableAsync(stepId, cancellationToken) is not { } step) return;
        var selector = TargetSelector.Parse(step.Canonical);
        // Who was refused it a moment ago would not find it; ApprovalLoop wakes them when that is over.
        var asked = step.HasHolds ? await KeptAsync(stepId, cancellationToken) : [];
        var fleet = await fleets.RecentAsync(step.OrganizationId, cancellationToken);
        while (true)
        {
            // Looked through no further than needed: of ten thousand that match, the first few.
            var fitting = fleet.Ready.Where(m => !asked.Contains(m.Id) && selector.Matches(m.Id, m.Tags, m.Labels, m.CodingAgents));
            foreach (var few in fitting.Where(m => !IsSpokenFor(m)).Concat(fitting).DistinctBy(m => m.Id).Chunk(Shortlist))
            {
                var now = await database.ReadAsync(sql => directory.OfIdsAsync(sql, step.OrganizationId, [.. few.Select(m => m.Id)]), cancellationToken);
                // Ranked again before each: others are being woken for other steps meanwhile.
                for (var left = Ready(now); left.Count > 0; left = Ready(left.Skip(1)))
                {
                    asked.Add(left[0].Id);
                    if (!await WakeAsync(stepId, left[0].Id, over, cancellationToken)) return;
                }
            }
            // Who has come since this view was taken may hang in a poll that looked before the step was there.
            if (fleet.TakenAt >= began) return;
            if (!await PauseAsync(FleetView.MaxAge - clock.GetElapsedTime(fleet.TakenAt), over, cancellationToken)) return;
            fleet = await fleets.AfterAsync(step.OrganizationId, began, cancellationToken);
        }
    }

    /// <summary>The ready ones of these, best first.</summary>
    private IReadOnlyList<InstanceRow> Ready(IEnumerable<InstanceRow> machines)
    {
        var now = clock.GetUtcNow();
        return [.. machines.Where(m => !WorkerRules.Unready(m.AsWorker(now, workstations)).Any())
            .OrderBy(m => WorkerRules.Rank(AsWoken(m).AsWorker(now, workstations) with { MissedWakes = missed.Of(m.Id) }, m.Id), WorkerRank.FirstAsked)];
    }

    /// <summary>As many were woken for it a moment ago as it has places: others are asked before it.</summary>
    private bool IsSpokenFor(InstanceRow machine) => machine.ActiveSteps + _woken.GetValueOrDefault(machine.Id) >= machine.MaxConcurrent;

    private InstanceRow AsWoken(InstanceRow machine) => _woken.TryGetValue(machine.Id, out var steps) ? machine with { ActiveSteps = machine.ActiveSteps + steps } : machine;

    /// <summary>Wakes one machine and gives it its time. False when nobody else need be woken: the step was claimed, may not be any more, or starts over.</summary>
    private async Task<bool> WakeAsync(string stepId, string instanceId, Task over, CancellationToken cancellationToken)
    {
        _woken.AddOrUpdate(instanceId, 1, (_, steps) => steps + 1);
        try
        {
            wakeUps.Notify(WakeUps.Work(instanceId));
            Record.Count("woken");
            if (!await PauseAsync(TimeSpan.FromMilliseconds(options.NextCandidateMs), over, cancellationToken) || await StartableAsync(stepId, cancellationToken) is null) return false;
            missed.Add(instanceId);
            return true;
        }
        finally
        {
            // Those of which nobody was woken lately must not stay in the dictionary for ever.
            if (_woken.AddOrUpdate(instanceId, 0, (_, steps) => steps - 1) == 0) _woken.TryRemove(KeyValuePair.Create(instanceId, 0));
        }
    }

    /// <summary>False when it was over before the time was.</summary>
    private async Task<bool> PauseAsync(TimeSpan time, Task over, CancellationToken cancellationToken)
    {
        if (time > TimeSpan.Zero) await over.WaitAsync(time, clock, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        return !over.IsCompleted;
    }

    /// <summary>Null when nothing of it can be claimed now, whoever tries.</summary>
    private Task<WaitingStep?> StartableAsync(string stepId, CancellationToken cancellationToken) => database.ReadAsync(sql => sql.FirstAsync<WaitingStep>($"""
        SELECT s.organization_id, c.canonical, EXISTS (SELECT 1 FROM step_holds h WHERE h.step_id = s.id) AS has_holds
        FROM steps s JOIN selectors c ON c.id = s.selector_id JOIN executions e ON e.id = s.execution_id JOIN tasks t ON t.id = s.task_id
        WHERE s.id = @stepId AND s.state = 'queued' AND {StartRules.StartableSql}
        """, new { stepId, now = clock.GetUtcNow().ToUnixTimeMilliseconds() }), cancellationToken);

    private async Task<HashSet<string>> KeptAsync(string stepId, CancellationToken cancellationToken) => [.. await database.ReadAsync(
        sql => sql.ListAsync<string>($"SELECT h.instance_id FROM step_holds h WHERE h.step_id = @stepId AND {StartRules.KeptFromSql}", new { stepId, now = clock.GetUtcNow().ToUnixTimeMilliseconds() }),
        cancellationToken)];

    private sealed record WaitingStep
    {
        public string OrganizationId { get; init; } = "";
        public string Canonical { get; init; } = "";
        public bool HasHolds { get; init; }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not wake workstations for step {StepId}; they find it with their next poll")]
    private static partial void LogFailed(ILogger logger, string stepId, Exception exception);
}
