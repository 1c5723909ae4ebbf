using System.Collections.Concurrent;
using Tanjiren.Agent.Execution;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Connection;

/// <summary>
/// Claims what the long-poll and the heartbeat offer, as far as there is room. A step whose claim was refused is left alone for a while, for
/// longer each time: the server offers it again at once, and the two would otherwise spin.
/// </summary>
internal sealed class StepClaimer(RunnerParts parts)
{
    private const int KeptRefusals = 1000;

    private readonly ConcurrentDictionary<string, Refusal> refusals = new();
    private readonly ConcurrentDictionary<StepRunner, Task> running = new();
    private readonly TaskCompletionSource faulted = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed record Refusal(long UntilTimestamp, TimeSpan Pause);

    /// <summary>Faults when a runner failed unexpectedly; never completes otherwise.</summary>
    public Task Faulted => faulted.Task;

    /// <summary>Starts a runner for every step that can be taken. The tasks end when each claim is decided.</summary>
    public IReadOnlyList<Task<ClaimVerdict>> Offer(string sessionId, IReadOnlyList<PendingStep> steps)
    {
        var claims = new List<Task<ClaimVerdict>>();
        foreach (var step in steps)
        {
            if (!parts.Watchdog.IsAlive) break;
            if (refusals.TryGetValue(step.StepId, out var refusal) && parts.Clock.GetTimestamp() < refusal.UntilTimestamp) continue;
            if (!parts.Limits.MayTake(step.StepId)) continue;
            var runner = new StepRunner(step, sessionId, parts);
            if (!parts.Steps.TryAdd(runner)) continue;
            running[runner] = Task.Run(() => RunAsync(runner));
            claims.Add(runner.Decided);
        }
        return claims;
    }

    private async Task RunAsync(StepRunner runner)
    {
        try
        {
            _ = runner.Decided.ContinueWith(verdict => Note(runner.StepId, verdict.Result), CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            await runner.RunAsync();
        }
        catch (Exception e)
        {
            // It ends the agent (see Faulted); the runner's own disposal has killed its tree.
            faulted.TrySetException(e);
        }
        finally
        {
            parts.Steps.Remove(runner);
            running.TryRemove(runner, out _);
        }
    }

    private void Note(string stepId, ClaimVerdict verdict)
    {
        if (verdict != ClaimVerdict.Refused)
        {
            refusals.TryRemove(stepId, out _);
            return;
        }
        // Forgetting them all costs each one quick try; remembering them for ever would cost memory.
        if (refusals.Count >= KeptRefusals) refusals.Clear();
        var pause = refusals.TryGetValue(stepId, out var before) ? before.Pause * 2 : parts.Options.Timeouts.RefusalPause;
        if (pause > parts.Options.Timeouts.RefusalMax) pause = parts.Options.Timeouts.RefusalMax;
        var jittered = pause * (0.5 + Random.Shared.NextDouble());
        refusals[stepId] = new Refusal(parts.Clock.GetTimestamp() + (long)(jittered.TotalSeconds * parts.Clock.TimestampFrequency), pause);
    }
}
