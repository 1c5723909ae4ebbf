using System.Runtime.CompilerServices;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Server.Audit;

/// <summary>Which rows of the audit log are asked for; what is null does not restrict.</summary>
/// <param name="Actor">Exactly this actor.</param>
/// <param name="Action">Exactly this action.</param>
/// <param name="Subject">Exactly this subject.</param>
/// <param name="From">Not before this instant.</param>
/// <param name="To">Before this instant.</param>
internal sealed record AuditFilter(string? Actor, string? Action, string? Subject, DateTimeOffset? From, DateTimeOffset? To);

/// <summary>Reading the audit log of one organization.</summary>
internal sealed class AuditStore(Database database, AuditSealer sealer, AuditSeal seal)
{
    private const int ExportBatch = 500;

    /// <summary>Newest first. <paramref name="cursor"/> is the id of the last row of the page before.</summary>
    public Task<Page<AuditEventBody>> ListAsync(string organizationId, AuditFilter filter, int limit, string? cursor, CancellationToken cancellationToken) =>
        database.ReadAsync(async sql =>
        {
            var conditions = "organization_id = @organizationId";
            if (filter.Actor is not null) conditions += " AND actor = @Actor";
            if (filter.Action is not null) conditions += " AND action = @Action";
            if (filter.Subject is not null) conditions += " AND subject = @Subject";
            if (filter.From is not null) conditions += " AND at >= @from";
            if (filter.To is not null) conditions += " AND at < @to";
            if (cursor is not null) conditions += " AND id < @cursor";
            var rows = await sql.ListAsync<AuditRow>($"SELECT * FROM audit_events WHERE {conditions} ORDER BY id DESC LIMIT @take",
                new { organizationId, filter.Actor, filter.Action, filter.Subject, from = filter.From?.ToUnixTimeMilliseconds(), to = filter.To?.ToUnixTimeMilliseconds(), cursor, take = limit + 1 });
            return new Page<AuditEventBody> { Items = [.. rows.Take(limit).Select(r => r.ToBody())], NextCursor = rows.Count > limit ? rows[limit - 1].Id : null };
        }, cancellationToken);

    /// <summary>How far the chain reaches, with everything sealed that is committed now.</summary>
    public async Task<AuditHead> HeadAsync(string chain, CancellationToken cancellationToken) => (await SealedAsync(chain, cancellationToken)).Row.Head(seal.PublicKey);

    /// <summary>
    /// The lines of a whole export: the checkpoint that the chain starts from, every row after it, the head. Rows are read a batch at a time, so that a slow reader
    /// holds nothing.
    /// </summary>
    /// <exception cref="IOException">Retention deleted rows that were about to be exported: the export must be asked for again.</exception>
    public async IAsyncEnumerable<byte[]> ExportAsync(string chain, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var (chained, broken) = await SealedAsync(chain, cancellationToken);
        // Rows behind the head: sealed since, or what a head that was set back is to hide.
        var upTo = broken ? long.MaxValue : chained.HeadSeq;
        yield return Line(chained.Checkpoint(seal.PublicKey));
        var after = chained.StartSeq;
        while (true)
        {
            // The start after the rows: what retention deleted before the rows were read is then in it.
            var (rows, start) = await database.ReadAsync(async sql => (
                await sql.ListAsync<AuditRow>($"""
                    SELECT * FROM audit_events WHERE {AuditSealer.Sealed}
                      AND chain_seq > @after AND chain_seq <= @upTo ORDER BY chain_seq LIMIT @ExportBatch
                    """, new { chain, after, upTo, ExportBatch }),
                await sql.FirstAsync<long>("SELECT start_seq FROM audit_chains WHERE chain = @chain", new { chain })), cancellationToken);
            // Rows that are missing for any other reason are exported as they are not: that is what a verification is to find.
            if (start > after && after < chained.HeadSeq && (rows.Count == 0 || rows[0].ChainSeq != after + 1)) throw new IOException("Retention deleted rows of the audit log while they were exported.");
            foreach (var row in rows) yield return JsonSerializer.SerializeToUtf8Bytes(row.ToBody(), WireJson.Default.AuditEventBody);
            if (rows.Count < ExportBatch) break;
            after = rows[^1].ChainSeq!.Value;
        }
        yield return Line(chained.Head(seal.PublicKey));
    }

    private static byte[] Line(AuditHead head) => JsonSerializer.SerializeToUtf8Bytes(head, WireJson.Default.AuditHead);

    private async Task<(ChainRow Row, bool Broken)> SealedAsync(string chain, CancellationToken cancellationToken)
    {
        var broken = false;
        try
        {
            await sealer.SealAsync(chain, cancellationToken);
        }
        catch (BrokenChainException)
        {
            // It is answered as it stands: what is wrong with it is what a verification is to find. The sealer's loop reports it.
            broken = true;
        }
        var row = await database.ReadAsync(sql => sql.FirstAsync<ChainRow>("SELECT * FROM audit_chains WHERE chain = @chain", new { chain }), cancellationToken);
        return (row ?? throw new BrokenChainException(chain, "its head is gone, and rows that it was signed over are not"), broken);
    }
}
