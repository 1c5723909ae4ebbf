using System.Runtime.ExceptionServices;

namespace Tanjiren.Server.Audit;

/// <summary>
/// A chain that is not what this server signed: somebody wrote to the database past it. Nothing is signed on top of that, nothing is deleted under it, and nothing of it goes
/// into the head file, until it is put right.
/// </summary>
/// <remarks>The message stands in <c>/api/status</c>, which members of every organization read; whose chain it is, only the log says.</remarks>
internal sealed class BrokenChainException(string chain, string what)
    : Exception($"An audit chain, which the log names, is not what this server signed: {what}. Nothing more of it is sealed or deleted; `audit verify` with the head file tells the row.")
{
    public string Chain => chain;

    public override string ToString() => $"Audit chain {chain}: {base.ToString()}";
}

/// <summary>One pass over many chains: one that fails must not keep the others from it.</summary>
internal static class ChainPass
{
    /// <summary>What failed; for <see cref="ThrowIfAny"/> at the end of the pass.</summary>
    public static async Task<List<Exception>> EachAsync(IEnumerable<string> chains, Func<string, Task> work, CancellationToken cancellationToken)
    {
        var failures = new List<Exception>();
        foreach (var chain in chains)
        {
            try
            {
                await work(chain);
            }
            catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                failures.Add(e);
            }
        }
        return failures;
    }

    public static void ThrowIfAny(this IReadOnlyList<Exception> failures)
    {
        if (failures.Count == 1) ExceptionDispatchInfo.Throw(failures[0]);
        if (failures.Count > 1) throw new AggregateException(failures);
    }
}
