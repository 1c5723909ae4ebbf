using System.Collections.Concurrent;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Audit;

/// <summary>
/// Chains the rows of an organization. Any server process may, at any moment: the lock of the chain's row lets one go first, and the next sees what that one sealed.
/// What waits is found by having no number, never by an instant or an id, so a row that commits late, with an earlier instant, is sealed when it is seen, and none
/// is left out.
/// </summary>
internal sealed class AuditSealer(Database database, AuditSeal seal)
{
    /// <summary>Rows in one transaction: some milliseconds of SQLite's one writer.</summary>
    private const int Batch = 200;

    private readonly ConcurrentDictionary<string, bool> _advanced = [];

    /// <summary>The condition on <c>audit_events</c> for the rows of <c>@chain</c> that are not sealed.</summary>
    private static string UnsealedOf(string chain) => chain == AuditChain.ServerChain ? "chain_seq IS NULL AND organization_id IS NULL" : "chain_seq IS NULL AND organization_id = @chain";

    /// <summary>The condition for those that are, in the words of their index.</summary>
    public const string Sealed = "chain_seq IS NOT NULL AND coalesce(organization_id, 'server') = @chain";

    /// <summary>The chains that have rows to seal.</summary>
    public Task<IReadOnlyList<string>> WaitingAsync(CancellationToken cancellationToken) => database.ReadAsync(sql => sql.ListAsync<string>(
        $"SELECT DISTINCT coalesce(organization_id, '{AuditChain.ServerChain}') FROM audit_events WHERE chain_seq IS NULL"), cancellationToken);

    /// <summary>Seals everything of one chain that is committed when it begins, and answers how many rows that were. The chain exists afterwards.</summary>
    /// <exception cref="BrokenChainException">What is sealed is not what this server signed.</exception>
    public async Task<int> SealAsync(string chain, CancellationToken cancellationToken)
    {
        var total = 0;
        while (true)
        {
            var batch = await database.WriteAsync(tx => SealBatchAsync(tx, chain), cancellationToken);
            total += batch;
            if (batch < Batch) return total;
        }
    }

    /// <summary>The chains that this process has sealed rows of since the last call, or deleted rows of.</summary>
    public IReadOnlyList<string> TakeAdvanced()
    {
        var taken = _advanced.Keys.ToList();
        foreach (var chain in taken) _advanced.TryRemove(chain, out _);
        return taken;
    }

    /// <summary>Its head or its start has moved, and the head file must hear of it.</summary>
    public void Advanced(string chain) => _advanced[chain] = true;

    /// <summary>The chain's row, locked until the transaction ends; made when it is not there.</summary>
    /// <exception cref="BrokenChainException">It is not what this server signed.</exception>
    public async Task<ChainRow> LockAsync(WriteTransaction tx, string chain)
    {
        var select = "SELECT * FROM audit_chains WHERE chain = @chain" + tx.ForUpdate;
        var row = await tx.FirstAsync<ChainRow>(select, new { chain });
        if (row is null)
        {
            await MakeAsync(tx, chain);
            row = (await tx.FirstAsync<ChainRow>(select, new { chain }))!;
        }
        await RequireOursAsync(tx, row);
        return row;
    }

    private Task MakeAsync(WriteTransaction tx, string chain)
    {
        var now = seal.Now;
        // Two first rows at once: the loser waits for the winner's commit, does nothing, and then reads what that one made.
        return tx.ExecuteAsync("""
            INSERT INTO audit_chains (chain, head_seq, head_hash, head_at, head_signature, start_seq, start_hash, start_at, start_signature)
            VALUES (@chain, 0, @Genesis, @at, @head, 0, @Genesis, @at, @start) ON CONFLICT (chain) DO NOTHING
            """,
            new
            {
                chain, AuditChain.Genesis, at = now.ToUnixTimeMilliseconds(), head = seal.Sign(AuditHead.Head, chain, 0, AuditChain.Genesis, now),
                start = seal.Sign(AuditHead.Checkpoint, chain, 0, AuditChain.Genesis, now),
            });
    }

    /// <summary>
    /// What is signed next vouches for all before it. Whoever writes the database without the key and hashes an edited row and those after it anew can't sign the head that
    /// this gives, and the last row must be the one that was signed. The rows in between are the business of a verification.
    /// </summary>
    private async Task RequireOursAsync(WriteTransaction tx, ChainRow row)
    {
        if (!AuditChain.IsSigned(row.Head(seal.PublicKey))) throw new BrokenChainException(row.Chain, $"its head of row {row.HeadSeq} carries no signature of its key");
        if (!AuditChain.IsSigned(row.Checkpoint(seal.PublicKey))) throw new BrokenChainException(row.Chain, $"its checkpoint of row {row.StartSeq} carries no signature of its key");
        var last = await tx.FirstAsync<AuditRow>($"SELECT * FROM audit_events WHERE {Sealed} ORDER BY chain_seq DESC LIMIT 1", new { chain = row.Chain });
        var (sequence, hash) = last is null ? (row.StartSeq, row.StartHash) : (last.ChainSeq!.Value, last.Hash);
        if (sequence != row.HeadSeq) throw new BrokenChainException(row.Chain, $"its head was signed at row {row.HeadSeq}, and its last row is {sequence}");
        if (hash != row.HeadHash) throw new BrokenChainException(row.Chain, $"its head was signed over another row {row.HeadSeq}");
    }

    private async Task<int> SealBatchAsync(WriteTransaction tx, string chain)
    {
        var chained = await LockAsync(tx, chain);
        // After the lock: what another sealer numbered meanwhile has a number here.
        var rows = await tx.ListAsync<AuditRow>($"SELECT * FROM audit_events WHERE {UnsealedOf(chain)} ORDER BY id LIMIT @Batch", new { chain, Batch });
        if (rows.Count == 0) return 0;

        var (sequence, hash) = (chained.HeadSeq, chained.HeadHash);
        foreach (var row in rows)
        {
            var body = row.ToBody() with { Version = AuditChain.Version, Sequence = ++sequence, PreviousHash = hash };
            hash = AuditChain.HashOf(chain, body);
            await tx.ExecuteAsync("UPDATE audit_events SET chain_version = @Version, chain_seq = @Sequence, previous_hash = @PreviousHash, hash = @hash WHERE id = @Id AND chain_seq IS NULL",
                new { body.Id, body.Version, body.Sequence, body.PreviousHash, hash });
        }
        var now = seal.Now;
        await tx.ExecuteAsync("UPDATE audit_chains SET head_seq = @sequence, head_hash = @hash, head_at = @at, head_signature = @signature WHERE chain = @chain",
            new { chain, sequence, hash, at = now.ToUnixTimeMilliseconds(), signature = seal.Sign(AuditHead.Head, chain, sequence, hash, now) });
        tx.OnCommit(() => Advanced(chain));
        return rows.Count;
    }
}
