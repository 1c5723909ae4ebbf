using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Audit;

/// <summary>What one server process does with the audit log, on a database that several of these may share. Nothing runs by itself.</summary>
internal sealed class SealingProcess : IAsyncDisposable
{
    private readonly AuditSeal _seal;

    private SealingProcess(Database database, ServerSecrets secrets, ManualTimeProvider clock, string? headFile)
    {
        (Clock, Database) = (clock, database);
        _seal = new AuditSeal(secrets, clock);
        Sealer = new AuditSealer(Database, _seal);
        Purge = new AuditPurge(Database, Sealer, _seal);
        Log = new AuditLog(clock);
        Heads = new AuditHeadFile(new AuditOptions { HeadFile = headFile }, Database, _seal, NullLogger<AuditHeadFile>.Instance);
        Loop = new AuditSealerLoop(Database, Sealer, Heads, clock, NullLogger<AuditSealerLoop>.Instance);
    }

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public ManualTimeProvider Clock { get; }
    public Database Database { get; }
    public AuditSealer Sealer { get; }
    public AuditPurge Purge { get; }
    public AuditLog Log { get; }
    public AuditHeadFile Heads { get; }
    public AuditSealerLoop Loop { get; }

    public static async Task<SealingProcess> StartAsync(TestDatabase test, ManualTimeProvider clock, string? headFile = null)
    {
        var database = new Database(DatabaseUrl.Open(test.Url, clock));
        var secrets = new ServerSecrets(database, clock);
        await secrets.LoadAsync(Cancelled);
        return new SealingProcess(database, secrets, clock, headFile);
    }

    public Task WriteAsync(string? organizationId, string subject) =>
        Database.WriteAsync(tx => Log.AppendAsync(tx, organizationId, "usr_1", "test.done", subject, null, null), Cancelled);

    /// <summary>One pass of the loop.</summary>
    public Task PassAsync() => Loop.RunOnceAsync(Cancelled);

    public async Task<IReadOnlyList<string>> ExportAsync(string chain)
    {
        var lines = new List<string>();
        await foreach (var line in OpenExport(chain)) lines.Add(Encoding.UTF8.GetString(line));
        return lines;
    }

    public IAsyncEnumerable<byte[]> OpenExport(string chain) => new AuditStore(Database, Sealer, _seal).ExportAsync(chain, Cancelled);

    /// <summary>The subjects in the order of the chain.</summary>
    public Task<IReadOnlyList<string>> SubjectsAsync(string? organizationId) => Database.ReadAsync(sql => sql.ListAsync<string>(
        $"SELECT subject FROM audit_events WHERE chain_seq IS NOT NULL AND {(organizationId is null ? "organization_id IS NULL" : "organization_id = @organizationId")} ORDER BY chain_seq", new { organizationId }), Cancelled);

    public async ValueTask DisposeAsync()
    {
        Loop.Dispose();
        Heads.Dispose();
        _seal.Dispose();
        await Database.DisposeAsync();
    }
}
