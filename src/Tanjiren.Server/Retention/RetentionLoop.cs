using Tanjiren.Server.Audit;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Retention;

/// <summary>Deletes by age, in small transactions, what the operator does not keep for ever. Several servers may do it at once: each row goes once.</summary>
internal sealed class RetentionLoop(TaskPurge tasks, AuditPurge audit, RetentionOptions options, TimeProvider clock, ILogger<RetentionLoop> logger)
    : PeriodicLoop("retention", clock, logger)
{
    protected override TimeSpan Interval => TimeSpan.FromMinutes(10);

    public override async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        if (Cutoff(options.LogDays) is { } logs) Count("logChunks", await tasks.DeleteLogsAsync(logs, cancellationToken));
        if (Cutoff(options.TaskDays) is { } ended) Count("tasks", await tasks.DeleteTasksAsync(ended, cancellationToken));
        // Not by age: steps go with their tasks, and also while those are changed.
        Count("selectors", await tasks.DeleteSelectorsAsync(cancellationToken));
        if (Cutoff(options.AuditDays) is { } written) Count("auditRows", await audit.RunAsync(written, cancellationToken));
    }

    private DateTimeOffset? Cutoff(int days) => days == 0 ? null : Clock.GetUtcNow() - TimeSpan.FromDays(days);
}

internal static class RetentionFeature
{
    public static IServiceCollection AddRetention(this IServiceCollection services) =>
        services.AddFeatureOptions<RetentionOptions>("Retention").AddLoop<RetentionLoop>();
}
