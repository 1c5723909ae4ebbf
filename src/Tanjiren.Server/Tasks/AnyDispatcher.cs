using System.Collections.Concurrent;
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
    : IHostedService, IDisposable
{
    private readonly ConcurrentDictionary<string, Task> _running = new();
    private readonly CancellationTokenSource _stop = new();

    /// <summary>Starts waking for this step; does nothing while it is being dispatched already. Never throws, never blocks.</summary>
    public void Dispatch(string stepId)
    {
        if (_stop.IsCancellationRequested) return;
        // Started under the key, so that a step has one dispatch; the task removes itself, so the set is bounded by what is queued and unclaimed.
        _ = _running.GetOrAdd(stepId, id => Task.Run(() => DispatchAsync(id, _stop.Token)));
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_running.Values).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void Dispose() => _stop.Dispose();

    private async Task DispatchAsync(string stepId, CancellationToken cancellationToken)
    {
        try
        {
            foreach (var instanceId in await CandidatesAsync(stepId, cancellationToken))
            {
                wakeUps.Notify(WakeUps.Work(instanceId));
                await Task.Delay(TimeSpan.FromMilliseconds(options.NextCandidateMs), clock, cancellationToken);
                if (!await IsQueuedAsync(stepId, cancellationToken)) return;
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The server stops; the step waits for a poll elsewhere.
        }
        catch (Exception e)
        {
            LogFailed(logger, stepId, e);
        }
        finally
        {
            _running.TryRemove(stepId, out _);
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
            .Where(i => i.Status(now, workstations) != InstanceStatus.Offline && !i.IsDraining && i.HasCapacity && selector.Matches(i.Id, i.Tags, i.Labels))
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
