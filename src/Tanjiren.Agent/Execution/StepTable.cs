namespace Tanjiren.Agent.Execution;

/// <summary>The steps that this agent works on, from the claim to the server's answer to the result.</summary>
internal sealed class StepTable(int capacity)
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, StepRunner> runners = [];
    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool draining;
    private bool holding;

    /// <summary>Nothing new is taken, and what is claimed and not started goes back.</summary>
    public bool Draining { get { lock (gate) return draining; } }

    /// <summary>Nothing new is taken: draining, or held off (<see cref="HoldOff"/>).</summary>
    public bool TakesNothing { get { lock (gate) return draining || holding; } }

    public int Active { get { lock (gate) return runners.Count; } }

    /// <summary>Steps that may be claimed now; none while nothing is taken.</summary>
    public int FreeSlots { get { lock (gate) return draining || holding ? 0 : capacity - runners.Count; } }

    public IReadOnlyList<StepRunner> All { get { lock (gate) return [.. runners.Values]; } }

    public StepRunner? Find(string stepId)
    {
        lock (gate) return runners.GetValueOrDefault(stepId);
    }

    public bool Contains(string stepId) => Find(stepId) is not null;

    /// <summary>Takes a slot; false when none is free or the step is in work here already: an earlier claim of it may still be dying.</summary>
    public bool TryAdd(StepRunner runner)
    {
        lock (gate)
        {
            if (draining || holding || runners.Count >= capacity || !runners.TryAdd(runner.StepId, runner)) return false;
            ChangedLocked();
            return true;
        }
    }

    public void Remove(StepRunner runner)
    {
        lock (gate)
        {
            runners.Remove(runner.StepId);
            ChangedLocked();
        }
    }

    /// <summary>A runner changed in a way that somebody may wait for.</summary>
    public void Changed()
    {
        lock (gate) ChangedLocked();
    }

    public void Drain()
    {
        lock (gate)
        {
            draining = true;
            ChangedLocked();
        }
    }

    /// <summary>Takes nothing new until told otherwise. Unlike a drain it is no end: what is claimed starts and is finished.</summary>
    public void HoldOff(bool hold)
    {
        lock (gate)
        {
            if (holding == hold) return;
            holding = hold;
            ChangedLocked();
        }
    }

    /// <summary>Waits until the table is as asked for. Level-triggered: a state that holds already is seen.</summary>
    public async Task WaitAsync(Func<StepTable, bool> predicate, CancellationToken ct)
    {
        while (true)
        {
            Task next;
            lock (gate) next = changed.Task;
            if (predicate(this)) return;
            await next.WaitAsync(ct);
        }
    }

    private void ChangedLocked()
    {
        changed.TrySetResult();
        changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
