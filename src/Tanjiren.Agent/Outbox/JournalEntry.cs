using System.Text.Json.Serialization;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Outbox;

/// <summary>What can happen to a claim, in the order in which it does. Written as numbers: values are never reused.</summary>
internal enum JournalKind
{
    /// <summary>A session id was made; durable before it is first sent.</summary>
    Session = 1,
    /// <summary>A claim id was made; durable before it is first sent.</summary>
    Claiming = 2,
    /// <summary>The server granted the claim.</summary>
    Leased = 3,
    /// <summary>The process is about to be started; durable before it is. From here on only <see cref="NotSpawned"/> proves that nothing ran.</summary>
    Spawning = 4,
    /// <summary>It was not started after all.</summary>
    NotSpawned = 5,
    /// <summary>It runs.</summary>
    Spawned = 6,
    /// <summary>The result; durable before it is first sent.</summary>
    Result = 7,
    /// <summary>The claim goes back to the server as never started.</summary>
    Releasing = 8,
    /// <summary>The server has the result or the release, or will never take it.</summary>
    Answered = 9,
    /// <summary>The server stores the output up to this sequence.</summary>
    Stored = 10,
    /// <summary>Nothing of this claim is left to do; it is forgotten.</summary>
    Closed = 11,
    /// <summary>Records were lost here: until <see cref="Settled"/>, what the journal does not name may have run. With <see cref="JournalEntry.NoClaim"/>.</summary>
    Damaged = 12,
    /// <summary>A session's answers were acted on after the damage: nothing that the server held then is in doubt any more. With <see cref="JournalEntry.NoClaim"/>.</summary>
    Settled = 13,
    /// <summary>What became of a question; durable before it is first sent.</summary>
    Answer = 14,
    /// <summary>The server has what became of a question, or will never take it.</summary>
    AnswerStored = 15,
}

/// <summary>One record of the journal. Which fields are set follows from <see cref="Kind"/>.</summary>
internal sealed record JournalEntry
{
    /// <summary>The claim id of records about no claim: an older agent looks each unknown record's claim up.</summary>
    public const string NoClaim = "-";

    public required JournalKind Kind { get; init; }
    public string? SessionId { get; init; }
    public string? ClaimId { get; init; }
    public string? StepId { get; init; }
    public string? TaskId { get; init; }
    public long? Generation { get; init; }
    /// <summary>The mark of the processes; of <see cref="JournalKind.Claiming"/>: 0 when the claim is taken up again and may have run before.</summary>
    public ulong? Mark { get; init; }
    /// <summary>Of <see cref="JournalKind.Spawning"/>: <see cref="Execution.MachineIdentity"/> of the home that started it, which a copy of this journal does not share.</summary>
    public string? MachineId { get; init; }
    public int? Pid { get; init; }
    public long? StartTime { get; init; }
    public long? Seq { get; init; }
    public CompleteRequest? Result { get; init; }
    /// <summary>Of <see cref="JournalKind.Result"/>: what is signed when the result is sent, by the key of that moment.</summary>
    public ReceiptClaims? Receipt { get; init; }
    /// <summary>Of <see cref="JournalKind.Spawning"/>: the assignment that was verified.</summary>
    public string? Assignment { get; init; }
    /// <summary>Of <see cref="JournalKind.Answer"/>.</summary>
    public StepAnswerRequest? Answer { get; init; }
    /// <summary>Of <see cref="JournalKind.AnswerStored"/>: the question's name.</summary>
    public string? Question { get; init; }
    /// <summary>Of <see cref="JournalKind.Leased"/>: the task's trace, so that what is sent after a restart is still in it.</summary>
    public string? TraceParent { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(JournalEntry))]
internal sealed partial class JournalJson : JsonSerializerContext;
