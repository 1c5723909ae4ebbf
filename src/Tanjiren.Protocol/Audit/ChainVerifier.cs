using System.Text.Json;

namespace Tanjiren.Protocol;

/// <summary>
/// Recomputes an audit chain from the lines of its export, one after another, and keeps the first fault. Needs nothing but the lines; with a head file it also
/// finds what an export alone can't show: an end that was cut off, and a chain that was made anew by whoever can write the database.
/// </summary>
/// <param name="heads">The head file, from outside the database; null: none at hand.</param>
/// <param name="pinnedKey">The fingerprint that all signatures must be by; null: that of the head file's first line of this chain, or without one that of the export's.</param>
public sealed class ChainVerifier(HeadFile? heads, string? pinnedKey)
{
    private AuditHead? checkpoint;
    private AuditHead? end;
    private ChainFault? fault;
    private ChainFault? gap;
    private string? key = pinnedKey;
    private string hash = "";
    private string? previousId;
    private long sequence;
    private long lastMatched;
    private int matched;
    private int line;

    /// <summary>Takes the next line.</summary>
    public void Add(string text)
    {
        line++;
        if (fault is not null || text.Length == 0) return;
        try
        {
            var json = JsonSerializer.Deserialize(text, WireJson.Default.JsonElement);
            if (json.ValueKind != JsonValueKind.Object) FindUnreadable();
            else if (json.TryGetProperty("kind", out _)) Take(json.Deserialize(WireJson.Default.AuditHead)!);
            else Take(json.Deserialize(WireJson.Default.AuditEventBody)!);
        }
        catch (JsonException)
        {
            FindUnreadable();
        }
    }

    /// <summary>After the last line.</summary>
    public ChainReport Finish()
    {
        fault ??= gap ?? (checkpoint is null ? new ChainFault(ChainFaultKind.Unreadable, 0, null, "there is nothing in it") : null);
        if (fault is null && end is null) Find(ChainFaultKind.Truncated, sequence + 1, null, $"the export breaks off after row {sequence}: its signed head is missing");
        if (fault is null) CheckEnd();
        return new ChainReport
        {
            Fault = fault, Chain = checkpoint?.Chain, StartsAfter = checkpoint?.Sequence ?? 0, Last = sequence, KeyFingerprint = key, HeadsMatched = matched,
        };
    }

    private void Take(AuditHead head)
    {
        if (gap is not null) return;
        if (head.Chain is null)
        {
            FindUnreadable();
            return;
        }
        if (!IsOurs(head)) return;
        if (checkpoint is null && head.Kind == AuditHead.Checkpoint) Begin(head);
        else if (checkpoint is null) Find(ChainFaultKind.Unreadable, 0, null, "the export does not begin with a checkpoint");
        else if (head.Chain != checkpoint.Chain || head.Kind != AuditHead.Head || end is not null) Find(ChainFaultKind.Unreadable, sequence, null, $"line {line} does not belong to this export");
        else end = head;
    }

    private void Begin(AuditHead head)
    {
        (checkpoint, hash, sequence, lastMatched) = (head, head.Hash, head.Sequence, head.Sequence);
        if (heads is null || head.Sequence == 0) return;
        if (!Matches(head.Sequence))
        {
            Find(ChainFaultKind.Altered, head.Sequence, null, $"the checkpoint of row {head.Sequence} was signed over another row than the head file's");
            return;
        }
        // Of a deletion in several steps the file may know the last one only; that row is still to come, and is held against it.
        if (heads.CheckpointsOf(head.Chain).Any(known => known.Sequence >= head.Sequence)) return;
        var newest = heads.HeadsOf(head.Chain).ToList();
        if (newest.Count > 0 && newest[^1].Sequence < head.Sequence)
            Find(ChainFaultKind.Truncated, 1, null, $"the export begins after row {head.Sequence}, and the head file knows the chain up to row {newest[^1].Sequence} only: nothing in one can be held against the other");
        // A head file that was copied before the deletion can't know of it.
        else if (newest.Select(h => h.At).DefaultIfEmpty().Max() >= head.At)
            Find(ChainFaultKind.Truncated, 1, null, $"the export begins after row {head.Sequence}, and the head file knows of no deletion up to there");
    }

    private void Take(AuditEventBody row)
    {
        if (checkpoint is null)
        {
            Find(ChainFaultKind.Unreadable, 0, null, "the export does not begin with a checkpoint");
            return;
        }
        if (gap is not null)
        {
            // Only one thing is still to be told: whether the row is gone, or stands further down.
            if (row.Sequence == gap.Sequence)
                Find(ChainFaultKind.Reordered, gap.Sequence, row.Id, $"row {gap.Sequence} ({row.Id}) stands in line {line}, behind a later row");
            return;
        }
        if (row.Sequence is not { } number || row.Hash is null || row.PreviousHash is null || row.Version is null)
            Find(ChainFaultKind.Unreadable, sequence + 1, row.Id, $"line {line} is a row that was never sealed");
        else if (row.Version != AuditChain.Version)
            Find(ChainFaultKind.Unreadable, number, row.Id, $"row {number} ({row.Id}) is sealed by encoding {row.Version}, which this version does not know");
        else if (end is not null || number <= sequence)
            Find(ChainFaultKind.Reordered, number, row.Id, $"row {number} ({row.Id}) stands in line {line}, behind row {sequence}");
        else if (number > sequence + 1)
            gap = new ChainFault(ChainFaultKind.Missing, sequence + 1, null,
                number == sequence + 2 ? $"row {sequence + 1} is missing" : $"rows {sequence + 1} to {number - 1} are missing");
        else if (AuditChain.HashOf(checkpoint.Chain, row) != row.Hash)
            Find(ChainFaultKind.Altered, number, row.Id, $"row {number} ({row.Id}) was altered: its fields do not give its hash");
        else if (row.PreviousHash != hash)
            // It vouches for itself and for another row before it: that one was replaced.
            Find(ChainFaultKind.Altered, sequence, previousId, previousId is null
                ? $"row {number} ({row.Id}) does not stand on what the checkpoint signed"
                : $"row {sequence} ({previousId}) was altered and hashed anew: row {number} was sealed on another");
        else Advance(row, number);
    }

    private void Advance(AuditEventBody row, long number)
    {
        (sequence, hash, previousId) = (number, row.Hash!, row.Id);
        if (!Matches(number))
            Find(ChainFaultKind.Altered, lastMatched + 1, null,
                $"the chain was made anew: of rows {lastMatched + 1} to {number} at least one was altered after {heads!.At(checkpoint!.Chain, number)!.At:u}, when the head of row {number} was signed");
    }

    /// <summary>Whether the head file says the same of this row; true when it says nothing.</summary>
    private bool Matches(long number)
    {
        if (heads?.At(checkpoint!.Chain, number) is not { } head || !IsOurs(head)) return true;
        if (head.Hash != hash) return false;
        (lastMatched, matched) = (number, matched + 1);
        return true;
    }

    private void CheckEnd()
    {
        if (end!.Sequence < sequence) Find(ChainFaultKind.Unsigned, end.Sequence + 1, null, $"rows {end.Sequence + 1} to {sequence} are not in what the head of row {end.Sequence} signs");
        else if (end.Sequence != sequence) Find(ChainFaultKind.Truncated, sequence + 1, null, $"rows {sequence + 1} to {end.Sequence} were cut off: the export's own head tells of them");
        else if (end.Hash != hash) Find(ChainFaultKind.Altered, sequence, previousId, $"the head of row {sequence} was signed over another row");
        else if (heads is not null) CheckReach();
    }

    /// <summary>An old export looks like a new one that was cut: whoever holds it against a head file must have exported later.</summary>
    private void CheckReach()
    {
        if (heads!.HeadsOf(checkpoint!.Chain).LastOrDefault() is not { } newest)
            Find(ChainFaultKind.Unsigned, sequence, null, $"the head file tells nothing of the chain {checkpoint.Chain}");
        else if (newest.Sequence > sequence)
            Find(ChainFaultKind.Truncated, sequence + 1, null,
                $"rows {sequence + 1} to {newest.Sequence} were cut off, or the export is older than the head file, which tells of them at {newest.At:u}");
        else if (heads.UnsignedLineOf(checkpoint.Chain) is { } bad)
            Find(ChainFaultKind.Unsigned, sequence, null, $"line {bad} of the head file is of this chain and carries no valid signature of its key: no server wrote it");
    }

    private bool IsOurs(AuditHead head)
    {
        if (!AuditChain.IsSigned(head))
        {
            Find(ChainFaultKind.Unsigned, head.Sequence, null, $"the {head.Kind} of row {head.Sequence} carries no valid signature");
            return false;
        }
        var signer = head.Key.Thumbprint();
        // Whoever forges an export signs it with a key of their own: what comes from outside the database says whose key counts.
        key ??= heads?.KeyOf(head.Chain) ?? signer;
        if (signer == key) return true;
        Find(ChainFaultKind.Unsigned, head.Sequence, null, $"the {head.Kind} of row {head.Sequence} is signed by {signer}, not by {key}");
        return false;
    }

    private void FindUnreadable() => Find(ChainFaultKind.Unreadable, sequence + 1, null, $"line {line} is not a line of an audit export");

    private void Find(ChainFaultKind kind, long where, string? id, string message) => fault ??= new ChainFault(kind, where, id, message);
}
