using System.Data.Common;
using Tanjiren.Server.Data;

namespace Tanjiren.Simulation.Tests.Server;

/// <summary>
/// The product's own provider, stopped before some of its transactions and reads until the scheduler goes on with them: meanwhile others have their turn, as other
/// requests and other servers do. A server that crashes never goes on with what it had begun. Within a transaction nothing else happens: SQLite has one writer.
/// </summary>
internal sealed class SteppedProvider(ISqlProvider inner, World world, SimulatedServer server, Life life, Action committed) : ISqlProvider
{
    private const double PauseProbability = 0.3;
    private const double LongPauseProbability = 0.15;

    public string Name => inner.Name;
    public string BlobType => inner.BlobType;
    public string ForUpdate => inner.ForUpdate;
    public string ForShare => inner.ForShare;
    public string ForNoKeyUpdate => inner.ForNoKeyUpdate;
    public string IsOneOf(string column, string argument) => inner.IsOneOf(column, argument);
    public bool IsTransient(DbException exception) => inner.IsTransient(exception);
    public bool IsUniqueViolation(DbException exception) => inner.IsUniqueViolation(exception);

    public async ValueTask<DbConnection> OpenReadAsync(CancellationToken cancellationToken)
    {
        await TurnAsync();
        return await inner.OpenReadAsync(cancellationToken);
    }

    public async ValueTask<WriteScope> BeginWriteAsync(CancellationToken cancellationToken)
    {
        await TurnAsync();
        var begun = inner.BeginWriteAsync(cancellationToken);
        // Waiting for the writer would leave the one thread that all of this runs on.
        if (!begun.IsCompleted) throw new InvalidOperationException("A write transaction waits for another, which was stopped in its middle.");
        return new Watched(await begun, committed);
    }

    public ValueTask DisposeAsync() => inner.DisposeAsync();

    private Task TurnAsync()
    {
        if (!world.Chance(PauseProbability)) return Task.CompletedTask;
        // Continued on the scheduler's thread, within the event that ends the pause.
        var turn = new TaskCompletionSource();
        server.After(life, world.Chance(LongPauseProbability) ? world.Between(100, 1500) : world.Between(0, 20), turn.SetResult);
        return turn.Task;
    }

    private sealed class Watched(WriteScope inner, Action committed) : WriteScope(inner.Connection, inner.Transaction)
    {
        public override async Task CommitAsync(CancellationToken cancellationToken)
        {
            await inner.CommitAsync(cancellationToken);
            committed();
        }

        public override ValueTask ReleaseAsync() => inner.ReleaseAsync();
    }
}
