using Tanjiren.Protocol;

namespace Tanjiren.Agent.Outbox;

/// <summary>A claim that is not closed, as the journal tells it.</summary>
internal sealed record JournaledClaim
{
    public required string ClaimId { get; init; }
    public required string StepId { get; init; }
    public string? TaskId { get; init; }
    public long? Generation { get; init; }
    /// <summary>Set from the intent to spawn on: processes with it may live.</summary>
    public ulong? Mark { get; init; }
    /// <summary>The machine, home included, that was about to start it; null: this one.</summary>
    public string? MachineId { get; init; }
    public bool NotSpawned { get; init; }
    public int? Pid { get; init; }
    public CompleteRequest? Result { get; init; }
    public ReceiptClaims? Receipt { get; init; }
    /// <summary>What was verified before the start.</summary>
    public string? Assignment { get; init; }
    /// <summary>What became of questions and the server is still to be told, in order.</summary>
    public IReadOnlyList<StepAnswerRequest> Answers { get; init; } = [];
    public bool Releasing { get; init; }
    public bool Answered { get; init; }
    public long StoredSeq { get; init; }
    public string? TraceParent { get; init; }

    public bool MayHaveSpawned => Mark is not null && !NotSpawned;

    /// <summary>What is reported of it at a session's start, when nothing of it runs any more; null when the server has its last word.</summary>
    public StepReportState? Report =>
        Answered ? null
        : Result is not null ? StepReportState.Exited
        : MayHaveSpawned ? StepReportState.UnknownOutcome
        : StepReportState.NeverStarted;
}

/// <summary>The journal's records folded into what they mean. Pure; <see cref="Journal"/> guards it with its lock.</summary>
internal sealed class JournalState
{
    private const int KeptSessions = 5;
    private const int KeptSpawns = 256;

    /// <summary>The machine of a start of which nothing more is known; no process is looked for by its mark.</summary>
    public const string LostMachine = "lost";

    private readonly Dictionary<string, JournaledClaim> claims = [];
    private readonly LinkedList<string> sessions = [];
    private readonly Queue<string> endedSpawns = [];

    /// <summary>Whether records were lost and no session has settled it yet.</summary>
    public bool Damaged { get; private set; }

    /// <summary>Newest first.</summary>
    public IReadOnlyCollection<string> Sessions => sessions;

    public IReadOnlyCollection<JournaledClaim> Claims => claims.Values;

    public JournaledClaim? Find(string claimId) => claims.GetValueOrDefault(claimId);

    /// <summary>Whether a process may ever have been started for this claim, as far as the journal reaches back: also when records are lost.</summary>
    public bool MayHaveSpawned(string claimId) =>
        claims.TryGetValue(claimId, out var claim) ? claim.MayHaveSpawned : Damaged || endedSpawns.Contains(claimId);

    public void Apply(JournalEntry entry)
    {
        if (entry.Kind == JournalKind.Session)
        {
            sessions.Remove(entry.SessionId!);
            sessions.AddFirst(entry.SessionId!);
            if (sessions.Count > KeptSessions) sessions.RemoveLast();
            return;
        }
        if (entry.Kind is JournalKind.Damaged or JournalKind.Settled)
        {
            Damaged = entry.Kind == JournalKind.Damaged;
            return;
        }
        var id = entry.ClaimId!;
        if (entry.Kind == JournalKind.Claiming)
        {
            claims[id] = new JournaledClaim
            {
                ClaimId = id, StepId = entry.StepId!, TaskId = entry.TaskId, Mark = entry.Mark, MachineId = entry.Mark is null ? null : LostMachine,
            };
            return;
        }
        if (!claims.TryGetValue(id, out var claim))
        {
            // A snapshot names ended spawns by their Closed record alone.
            if (entry is { Kind: JournalKind.Closed, Mark: not null }) RememberSpawn(id);
            return;
        }
        if (entry.Kind == JournalKind.Closed)
        {
            claims.Remove(id);
            if (claim.MayHaveSpawned) RememberSpawn(id);
            return;
        }
        claims[id] = entry.Kind switch
        {
            JournalKind.Leased => claim with { Generation = entry.Generation, TaskId = entry.TaskId ?? claim.TaskId, TraceParent = entry.TraceParent },
            JournalKind.Spawning => claim with { Mark = entry.Mark, MachineId = entry.MachineId, Assignment = entry.Assignment, NotSpawned = false },
            JournalKind.NotSpawned => claim with { NotSpawned = true },
            JournalKind.Spawned => claim with { Pid = entry.Pid },
            // Written again after a sync that failed, it is still one.
            JournalKind.Answer => claim with { Answers = [.. claim.Answers.Where(a => a.Question != entry.Answer!.Question), entry.Answer!] },
            JournalKind.AnswerStored => claim with { Answers = [.. claim.Answers.Where(a => a.Question != entry.Question)] },
            JournalKind.Result => claim with { Result = entry.Result, Receipt = entry.Receipt },
            JournalKind.Releasing => claim with { Releasing = true, Generation = entry.Generation ?? claim.Generation },
            JournalKind.Answered => claim with { Answered = true },
            JournalKind.Stored => claim with { StoredSeq = Math.Max(claim.StoredSeq, entry.Seq!.Value) },
            // A record of a newer agent: what it adds cannot be undone here, what it names is still there.
            _ => claim,
        };
    }

    /// <summary>The fewest records that fold into this state again.</summary>
    public IEnumerable<JournalEntry> Snapshot()
    {
        if (Damaged) yield return new JournalEntry { Kind = JournalKind.Damaged, ClaimId = JournalEntry.NoClaim };
        foreach (var session in sessions.Reverse()) yield return new JournalEntry { Kind = JournalKind.Session, SessionId = session };
        foreach (var spawn in endedSpawns) yield return new JournalEntry { Kind = JournalKind.Closed, ClaimId = spawn, Mark = 0 };
        foreach (var c in claims.Values)
        {
            JournalEntry Of(JournalKind kind) => new() { Kind = kind, ClaimId = c.ClaimId };
            yield return Of(JournalKind.Claiming) with { StepId = c.StepId, TaskId = c.TaskId };
            if (c.Generation is not null) yield return Of(JournalKind.Leased) with { Generation = c.Generation, TraceParent = c.TraceParent };
            if (c.Mark is not null) yield return Of(JournalKind.Spawning) with { Mark = c.Mark, MachineId = c.MachineId, Assignment = c.Assignment };
            if (c.Pid is not null) yield return Of(JournalKind.Spawned) with { Pid = c.Pid };
            if (c.NotSpawned) yield return Of(JournalKind.NotSpawned);
            foreach (var answer in c.Answers) yield return Of(JournalKind.Answer) with { Answer = answer };
            if (c.Result is not null) yield return Of(JournalKind.Result) with { Result = c.Result, Receipt = c.Receipt };
            if (c.Releasing) yield return Of(JournalKind.Releasing);
            if (c.Answered) yield return Of(JournalKind.Answered);
            if (c.StoredSeq > 0) yield return Of(JournalKind.Stored) with { Seq = c.StoredSeq };
        }
    }

    /// <summary>Records are missing from here on: what is known so far may have been started by one of them. No mark is known to kill it by, and none is made up.</summary>
    public void Lose()
    {
        Damaged = true;
        foreach (var claim in claims.Values.Where(c => c.Mark is null).ToList())
            claims[claim.ClaimId] = claim with { Mark = 0, MachineId = LostMachine };
    }

    private void RememberSpawn(string claimId)
    {
        endedSpawns.Enqueue(claimId);
        if (endedSpawns.Count > KeptSpawns) endedSpawns.Dequeue();
    }
}
