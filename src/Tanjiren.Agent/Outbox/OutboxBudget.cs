namespace Tanjiren.Agent.Outbox;

/// <summary>
/// The bytes of output that may lie on the disk, over all steps. A writer that finds it spent waits, and its child with it, until the sender has
/// freed room: a server that is away for a day costs time, never the disk.
/// </summary>
internal sealed class OutboxBudget(long bytes)
{
    private readonly object gate = new();
    private long used;

    public long Used { get { lock (gate) return used; } }

    public bool TryTake(int amount)
    {
        lock (gate)
        {
            // One record always fits into an empty outbox, however small the budget.
            if (used > 0 && used + amount > bytes) return false;
            used += amount;
            return true;
        }
    }

    /// <summary>Counts what was there before: files of an earlier run, over the budget or not.</summary>
    public void TakeExisting(long amount)
    {
        lock (gate) used += amount;
    }

    public void Give(long amount)
    {
        lock (gate)
        {
            used -= amount;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>Wakes waiting writers to look again, for example because their step was given up.</summary>
    public void Nudge()
    {
        lock (gate) Monitor.PulseAll(gate);
    }

    /// <summary>Waits on the step's own thread until room may have been freed, or <paramref name="longest"/> has passed.</summary>
    public void WaitForRoom(int amount, TimeSpan longest)
    {
        lock (gate)
        {
            if (used > 0 && used + amount > bytes) Monitor.Wait(gate, longest);
        }
    }
}
