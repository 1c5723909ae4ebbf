using System.ComponentModel.DataAnnotations;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Every timeout of leases, section <c>Tanjiren:Leases</c>. A step's own grace comes with its task (<c>leaseGraceSeconds</c>). That a
/// pass is shorter than the gap that restarts the wait is asserted at start: the reconciler would otherwise never release anything.
/// </summary>
internal sealed class LeaseOptions : IValidatableObject
{
    /// <summary>How long a lease lasts without renewal, in seconds. Default 90 (T-08).</summary>
    [Range(1, 3600)]
    public int TtlSeconds { get; init; } = 90;

    /// <summary>Grace of a stale lease when the task does not say, in seconds. Default 120.</summary>
    [Range(1, 3600)]
    public int GraceSeconds { get; init; } = 120;

    /// <summary>Milliseconds between two passes of the reconciler. Default 1,000.</summary>
    [Range(50, 60_000)]
    public int ReconcileMs { get; init; } = 1000;

    /// <summary>A pause between two passes longer than this restarts the wait before anything is released. Default 5,000 ms.</summary>
    [Range(100, 60_000)]
    public int MaxPassGapMs { get; init; } = 5000;

    /// <summary>A difference between the lease clock and the elapsed time larger than this restarts the wait too. Default 1,000 ms.</summary>
    [Range(100, 60_000)]
    public int MaxClockDriftMs { get; init; } = 1000;

    /// <summary>How long past its hard deadline the server waits for the agent's own report of the timeout, in seconds. Default 60.</summary>
    [Range(1, 3600)]
    public int DeadlineSlackSeconds { get; init; } = 60;

    /// <summary>An executor without a sign of life for this long is not renewed, in milliseconds. Default 60,000.</summary>
    [Range(1000, 600_000)]
    public int MaxTickAgeMs { get; init; } = 60_000;

    /// <summary>Interval between heartbeats, 30-60 s (W-04). Default 30.</summary>
    [Range(30, 60)]
    public int HeartbeatSeconds { get; init; } = 30;

    /// <summary>How long an <c>any</c> step waits for the best worker's claim before the next best is woken, in milliseconds. Default 250.</summary>
    [Range(10, 10_000)]
    public int NextCandidateMs { get; init; } = 250;

    public long TtlMs => TtlSeconds * 1000L;

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (ReconcileMs >= MaxPassGapMs)
            yield return new ValidationResult($"Tanjiren:Leases:ReconcileMs ({ReconcileMs}) must be below Tanjiren:Leases:MaxPassGapMs ({MaxPassGapMs}).");
    }
}
