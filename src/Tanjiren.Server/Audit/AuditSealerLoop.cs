using System.Text.Json;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Audit;

/// <summary>
/// Seals what has been written since the last pass, and puts the new heads into this process's head file. Heads that other server processes sealed are taken
/// over with a slower look at all chains, so the file of each server is complete.
/// </summary>
internal sealed class AuditSealerLoop(Database database, AuditSealer sealer, AuditHeadFile heads, TimeProvider clock, ILogger<AuditSealerLoop> logger)
    : PeriodicLoop("audit-sealer", clock, logger)
{
    private static readonly TimeSpan AllChainsInterval = TimeSpan.FromSeconds(30);

    /// <summary>When each was found broken: it is reported every 30 s, not twice a second.</summary>
    private readonly Dictionary<string, long> _broken = [];
    private long? _lookedAtAll;

    /// <summary>Half of the second that a row may be unsealed.</summary>
    protected override TimeSpan Interval => TimeSpan.FromMilliseconds(500);

    public override async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        var waiting = (await sealer.WaitingAsync(cancellationToken)).Where(chain => !_broken.TryGetValue(chain, out var found) || Clock.GetElapsedTime(found) >= AllChainsInterval);
        var failures = await ChainPass.EachAsync(waiting, chain => SealAsync(chain, cancellationToken), cancellationToken);
        if (heads.IsKept) await KeepHeadsAsync(failures, cancellationToken);
        else sealer.TakeAdvanced();
        failures.ThrowIfAny();
    }

    private async Task SealAsync(string chain, CancellationToken cancellationToken)
    {
        _broken.Remove(chain);
        try
        {
            Count("sealed", await sealer.SealAsync(chain, cancellationToken));
        }
        catch (BrokenChainException)
        {
            _broken[chain] = Clock.GetTimestamp();
            throw;
        }
    }

    private async Task KeepHeadsAsync(List<Exception> failures, CancellationToken cancellationToken)
    {
        var advanced = sealer.TakeAdvanced();
        var all = _lookedAtAll is not { } last || Clock.GetElapsedTime(last) >= AllChainsInterval;
        if (all) _lookedAtAll = Clock.GetTimestamp();
        else if (advanced.Count == 0) return;
        // After the commit: a head in the file that the database lost would accuse a server of what its crash did.
        var rows = await database.ReadAsync(sql => all
            ? sql.ListAsync<ChainRow>("SELECT * FROM audit_chains ORDER BY chain")
            : sql.ListAsync<ChainRow>($"SELECT * FROM audit_chains WHERE {sql.IsOneOf("chain", "chains")}", new { chains = JsonSerializer.Serialize(advanced) }), cancellationToken);
        Count("heads", heads.Append(rows, failures));
    }
}
