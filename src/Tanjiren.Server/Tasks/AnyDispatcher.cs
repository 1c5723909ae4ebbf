using System.Collections.Concurrent;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Wakes workstations for a step that any one may run: the best ready worker first, the next best after 250 ms without a claim, so that a thousand machines do
/// not race for one job. Steps that come together are spread: a worker that was woken a moment ago counts as that much busier. Only hints: whoever polls finds the
/// step anyway.
/// </summary>
internal sealed partial class AnyDispatcher(
    Database database, InstanceDirectory directory, FleetView fleets, WakeUps wakeUps, TimeProvider clock, LeaseOptions options, WorkstationOptions workstations, ILogger<AnyDispatcher> logger)
    : IHostedService, ILoop, IDisposable
{
    /// <summary>So many candidates are looked at anew before the first of them is woken; nobody gets further down the list than a few.</summary>
    private const int Shortlist = 16;

    /// <summary>A pass is one step's: from the first candidate that is woken to the claim.</summary>
    public LoopRecord Record { get; } = new("dispatcher", clock);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Dispatching> _running = [];
    private readonly ConcurrentDictionary<string, int> _woken = [];
    private readonly CancellationTokenSource _stop = new();

    private sealed class Dispatching
    {
        public Task Task { get; set; } = Task.CompletedTask;
        public bool Again { get; set; }
    }

    /// <summary>
    /// Starts waking for this step. One that is being dispatched already starts over when it is through: it may have been given back meanwhile, and
    /// the old list of candidates is spent. Never throws, never blocks; the set is bounded by what is queued and unclaimed.
    /// </summary>
    public void Dispatch(string stepId)
    {
        lock (_gate)
        {
            if (_stop.IsCancellationRequested) return;
            if (_running.TryGetValue(stepId, out var running))
            {
                running.Again = true;
                return;
            }
            _running[stepId] = running = new Dispatching();
            running.Task = Task.Run(async () =>
            {
                do await DispatchAsync(stepId, _stop.Token);
                while (StartsOver(stepId, running));
            });
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

    public void Dispose() => _stop.Dispose();

    private bool StartsOver(string stepId, Dispatching running)
    {
        lock (_gate)
        {
            if (running.Again && !_stop.IsCancellationRequested)
            {
                running.Again = false;
                return true;
            }
            _running.Remove(stepId);
            return false;
        }
    }

    private async Task DispatchAsync(string stepId, CancellationToken cancellationToken)
    {
        var began = clock.GetTimestamp();
        try
        {
            await WakeOneAfterAnotherAsync(stepId, began, cancellationToken);
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

    /// <summary>Ends when the step is claimed, or when everybody who was ready since this began was woken.</summary>
    private async Task WakeOneAfterAnotherAsync(string stepId, long began, CancellationToken cancellationToken)
    {
        var step = await database.ReadAsync(sql => sql.FirstAsync<SelectorRow>("""
            SELECT s.organization_id, c.canonical FROM steps s JOIN selectors c ON c.id = s.selector_id WHERE s.id = @stepId AND s.state = 'queued'
            """, new { stepId }), cancellationToken);
        if (step is null) return;
        var selector = TargetSelector.Parse(step.Canonical);
        var asked = new HashSet<string>();
        var fleet = await fleets.RecentAsync(step.OrganizationId, cancellationToken);
        while (true)
        {
            // Looked through no further than needed: of ten thousand that match, the first few.
            var fitting = fleet.Ready.Where(m => !asked.Contains(m.Id) && selector.Matches(m.Id, m.Tags, m.Labels));
            foreach (var few in fitting.Where(m => !IsSpokenFor(m)).Concat(fitting).DistinctBy(m => m.Id).Chunk(Shortlist))
            {
                var now = await database.ReadAsync(sql => directory.OfIdsAsync(sql, step.OrganizationId, [.. few.Select(m => m.Id)]), cancellationToken);
                // Ranked again before each: others are being woken for other steps meanwhile.
                for (var left = Ready(now); left.Count > 0; left = Ready(left.Skip(1)))
                {
                    asked.Add(left[0].Id);
                    if (await WakeAsync(stepId, left[0].Id, cancellationToken)) return;
                }
            }
            // Who has come since this view was taken may hang in a poll that looked before the step was there.
            if (fleet.TakenAt >= began) return;
            fleet = await fleets.AfterAsync(step.OrganizationId, began, cancellationToken);
        }
    }

    /// <summary>The ready ones of these, best first.</summary>
    private IReadOnlyList<InstanceRow> Ready(IEnumerable<InstanceRow> machines)
    {
        var now = clock.GetUtcNow();
        return [.. machines.Where(m => !WorkerRules.Unready(m.AsWorker(now, workstations)).Any()).OrderBy(m => WorkerRules.Rank(AsWoken(m).AsWorker(now, workstations), m.Id), WorkerRank.FirstAsked)];
    }

    /// <summary>As many were woken for it a moment ago as it has places: others are asked before it.</summary>
    private bool IsSpokenFor(InstanceRow machine) => machine.ActiveSteps + _woken.GetValueOrDefault(machine.Id) >= machine.MaxConcurrent;

    private InstanceRow AsWoken(InstanceRow machine) => _woken.TryGetValue(machine.Id, out var steps) ? machine with { ActiveSteps = machine.ActiveSteps + steps } : machine;

    /// <summary>Wakes one machine, gives it its time, and says whether the step is queued no more.</summary>
    private async Task<bool> WakeAsync(string stepId, string instanceId, CancellationToken cancellationToken)
    {
        _woken.AddOrUpdate(instanceId, 1, (_, steps) => steps + 1);
        try
        {
            wakeUps.Notify(WakeUps.Work(instanceId));
            Record.Count("woken");
            await Task.Delay(TimeSpan.FromMilliseconds(options.NextCandidateMs), clock, cancellationToken);
            return !await IsQueuedAsync(stepId, cancellationToken);
        }
        finally
        {
            // Those of which nobody was woken lately must not stay in the dictionary for ever.
            if (_woken.AddOrUpdate(instanceId, 0, (_, steps) => steps - 1) == 0) _woken.TryRemove(KeyValuePair.Create(instanceId, 0));
        }
    }

    private Task<bool> IsQueuedAsync(string stepId, CancellationToken cancellationToken) => database.ReadAsync(
        sql => sql.FirstAsync<bool>("SELECT EXISTS (SELECT 1 FROM steps WHERE id = @stepId AND state = 'queued')", new { stepId }), cancellationToken);

    private sealed record SelectorRow
    {
        public string OrganizationId { get; init; } = "";
        public string Canonical { get; init; } = "";
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not wake workstations for step {StepId}; they find it with their next poll")]
    private static partial void LogFailed(ILogger logger, string stepId, Exception exception);
}
