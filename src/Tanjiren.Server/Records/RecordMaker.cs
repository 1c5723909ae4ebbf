using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Records;

/// <summary>Makes what people keep, in one transaction, and once for each idempotency key.</summary>
internal sealed class RecordMaker(Database database, Idempotency idempotency, TimeProvider clock)
{
    /// <param name="caller">Who makes it.</param>
    /// <param name="key">The request's key, if it came with one.</param>
    /// <param name="prefix">Of the new id.</param>
    /// <param name="find">Reads one of the caller's organization by id.</param>
    /// <param name="insert">Writes it under the given id, with its audit row; a problem: it has written nothing.</param>
    /// <param name="cancellationToken">Of the request.</param>
    public Task<RecordResult<TRow>> MakeAsync<TRow>(Caller caller, IdempotencyKey? key, string prefix, Func<WriteTransaction, string, Task<TRow?>> find,
        Func<WriteTransaction, string, Task<Problem?>> insert, CancellationToken cancellationToken) where TRow : class =>
        database.WriteAsync<RecordResult<TRow>>(async tx =>
        {
            var id = Ids.New(prefix, clock);
            var reservation = await idempotency.ReserveAsync(tx, caller, key, id);
            if (reservation.Reused) return Idempotency.Reused();
            if (reservation.RepeatOf is { } earlier)
                return await find(tx, earlier) is { } known ? new RecordResult<TRow>(known, Repeated: true) : RecordProblems.MadeAndGone();
            if (await insert(tx, id) is { } problem)
            {
                await idempotency.ReleaseAsync(tx, caller, key);
                return problem;
            }
            return (await find(tx, id))!;
        }, cancellationToken);
}
