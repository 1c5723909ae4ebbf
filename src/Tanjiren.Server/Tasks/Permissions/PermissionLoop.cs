using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>Time's part: questions that nobody answered, where their machine does not ask for the answer. Any number of servers may run it. No answer waits for this loop: it is refused from that very moment.</summary>
internal sealed partial class PermissionLoop(Database database, TimeProvider clock, StepPermissions permissions, ILogger<PermissionLoop> logger) : PeriodicLoop("permissions", clock, logger)
{
    private const int Batch = 200;

    protected override TimeSpan Interval => TimeSpan.FromSeconds(5);

    public override async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        var due = await database.ReadAsync(sql => sql.ListAsync<string>("SELECT id FROM permissions WHERE state = 'pending' AND expires_at <= @now ORDER BY expires_at LIMIT @Batch",
            new { now = Clock.GetUtcNow().ToUnixTimeMilliseconds(), Batch }), cancellationToken);
        foreach (var id in due)
        {
            try
            {
                if (await permissions.ExpireAsync(id, cancellationToken)) Count("expired");
            }
            catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                // One that can't be ended, for whatever reason, must not keep those behind it from it.
                Count("failed");
                LogUnresolved(logger, id, e);
            }
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Could not end the question {PermissionId}; it is tried again with the next pass")]
    private static partial void LogUnresolved(ILogger logger, string permissionId, Exception exception);
}
