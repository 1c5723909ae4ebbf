using Tanjiren.Agent.Outbox;

namespace Tanjiren.Simulation.Tests.Machines;

/// <summary>
/// The agent's journal, on a disk that forgets: what was appended survives the agent's death, what was synced survives a power cut, and of the rest a power cut leaves
/// some beginning. The records and what they mean are the agent's own.
/// </summary>
internal sealed class AgentDisk(World world)
{
    private readonly List<JournalEntry> _records = [];
    private int _synced;

    /// <summary>As an agent that starts reads it; a fresh, synced file then holds just that.</summary>
    public JournalState Open()
    {
        var state = new JournalState();
        foreach (var record in _records) state.Apply(record);
        _records.Clear();
        _records.AddRange(state.Snapshot());
        _synced = _records.Count;
        return state;
    }

    public void Append(JournalEntry record) => _records.Add(record);

    /// <summary>What is written now is durable when the sync, begun now, is through.</summary>
    public int Written => _records.Count;

    public void Synced(int written) => _synced = Math.Max(_synced, written);

    public void CutPower()
    {
        var kept = _synced + (int)world.Between(0, _records.Count - _synced);
        _records.RemoveRange(kept, _records.Count - kept);
        _synced = kept;
    }

    /// <summary>Mostly fast; a busy disk now and then takes seconds.</summary>
    public long SyncMs() => world.Chance(0.03) ? world.Between(500, 4000) : world.Between(1, 15);
}
