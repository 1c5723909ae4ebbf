using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Audit;

/// <summary>
/// Deletes the oldest rows of the audit log by age: only sealed ones, only from the start of a chain up to the first that is too young, and leaves a signed
/// checkpoint in their place, so that what is left still verifies.
/// </summary>
internal sealed class AuditPurge(Database database, AuditSealer sealer, AuditSeal seal)
{
    private const int Batch = 200;

    /// <summary>Deletes what was done at or before <paramref name="cutoff"/>, and answers how many rows that were. Stops early when it is cancelled.</summary>
    public async Task<int> RunAsync(DateTimeOffset cutoff, CancellationToken cancellationToken)
    {
        var total = 0;
        var chains = await database.ReadAsync(sql => sql.ListAsync<string>("SELECT chain FROM audit_chains ORDER BY chain"), cancellationToken);
        var failures = await ChainPass.EachAsync(chains, async chain =>
        {
            int deleted;
            do
            {
                deleted = await database.WriteAsync(tx => PurgeAsync(tx, chain, cutoff.ToUnixTimeMilliseconds()), cancellationToken);
                total += deleted;
            }
            while (deleted == Batch);
        }, cancellationToken);
        failures.ThrowIfAny();
        return total;
    }

    private async Task<int> PurgeAsync(WriteTransaction tx, string chain, long cutoff)
    {
        // The chain's lock: two purges, or a purge and a sealer, never move it at once.
        var chained = await sealer.LockAsync(tx, chain);
        // One more than goes: the one after the last must stand on it.
        var oldest = await tx.ListAsync<AuditRow>($"SELECT * FROM audit_events WHERE {AuditSealer.Sealed} AND chain_seq > @StartSeq ORDER BY chain_seq LIMIT @limit",
            new { chain, chained.StartSeq, limit = Batch + 1 });
        // Only an unbroken run from the start: neither a hole nor an altered row is ours to hide under a checkpoint.
        bool IsNext(AuditRow row, int i) => row.ChainSeq == chained.StartSeq + i + 1 && row.PreviousHash == (i == 0 ? chained.StartHash : oldest[i - 1].Hash)
            && AuditChain.HashOf(chain, row.ToBody()) == row.Hash && (i + 1 == oldest.Count || oldest[i + 1].PreviousHash == row.Hash);
        var prefix = oldest.Take(Batch).TakeWhile((row, i) => row.At <= cutoff && IsNext(row, i)).ToList();
        if (prefix.Count == 0) return 0;
        var (last, now) = (prefix[^1], seal.Now);
        await tx.ExecuteAsync($"DELETE FROM audit_events WHERE {AuditSealer.Sealed} AND chain_seq <= @ChainSeq", new { chain, last.ChainSeq });
        await tx.ExecuteAsync("UPDATE audit_chains SET start_seq = @ChainSeq, start_hash = @Hash, start_at = @at, start_signature = @signature WHERE chain = @chain",
            new { chain, last.ChainSeq, last.Hash, at = now.ToUnixTimeMilliseconds(), signature = seal.Sign(AuditHead.Checkpoint, chain, last.ChainSeq!.Value, last.Hash!, now) });
        tx.OnCommit(() => sealer.Advanced(chain));
        return prefix.Count;
    }
}
