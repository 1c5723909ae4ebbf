using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Wakes workstations for a step that any one may run: the best ready worker first, the next best after 250 ms without a claim, so that a thousand machines do
/// not race for one job. Only hints: whoever polls finds the step anyway.
/// </summary>
internal sealed partial class AnyDispatcher(
    Database database, InstanceDirectory directory, WakeUps wakeUps, TimeProvider clock, LeaseOptions options, WorkstationOptions workstations, ILogger<AnyDispatcher> logger)
    : IHostedService, ILoop, IDisposable
{
    /// <summary>A pass is one step's: from the first candidate that is woken to the claim.</summary>
    public LoopRecord Record { get; } = new("dispatcher", clock);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Dispatching> _running = [];
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
            foreach (var instanceId in await CandidatesAsync(stepId, cancellationToken))
            {
                wakeUps.Notify(WakeUps.Work(instanceId));
                Record.Count("woken");
                await Task.Delay(TimeSpan.FromMilliseconds(options.NextCandidateMs), clock, cancellationToken);
                if (!await IsQueuedAsync(stepId, cancellationToken)) break;
            }
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

    /// <summary>Online workstations that match and have room, least loaded first.</summary>
    private Task<List<string>> CandidatesAsync(string stepId, CancellationToken cancellationToken) => database.ReadAsync(async sql =>
    {
        var step = await sql.FirstAsync<SelectorRow>("""
            SELECT s.organization_id, c.canonical FROM steps s JOIN selectors c ON c.id = s.selector_id WHERE s.id = @stepId AND s.state = 'queued'
            """, new { stepId });
        if (step is null) return [];
        var selector = TargetSelector.Parse(step.Canonical);
        var now = clock.GetUtcNow();
        return (await directory.ListAsync(sql, step.OrganizationId))
            .Where(i => i.Status(now, workstations) != InstanceStatus.Offline && !i.IsDraining && !i.IsSignedOut && i.HasCapacity && selector.Matches(i.Id, i.Tags, i.Labels))
            .OrderBy(i => (double)i.ActiveSteps / i.MaxConcurrent).ThenBy(i => i.Id, StringComparer.Ordinal)
            .Select(i => i.Id)
            .ToList();
    }, cancellationToken);

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
