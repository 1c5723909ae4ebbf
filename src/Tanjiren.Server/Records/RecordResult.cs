using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Records;

/// <summary>
/// What became of a change to something that people keep: the row as it is now, or the problem, and then nothing was written.
/// <paramref name="Repeated"/>: an earlier request with the same idempotency key made it.
/// </summary>
internal sealed record RecordResult<TRow>(TRow? Row, Problem? Problem = null, bool Repeated = false) where TRow : class
{
    public static implicit operator RecordResult<TRow>(Problem problem) => new(null, problem);

    public static implicit operator RecordResult<TRow>(TRow row) => new(row);
}
