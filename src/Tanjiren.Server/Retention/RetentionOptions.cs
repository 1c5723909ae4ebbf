using System.ComponentModel.DataAnnotations;

namespace Tanjiren.Server.Retention;

/// <summary>How long things are kept: <c>Tanjiren:Retention</c>. In days since a task's end, or since an audit row was written; 0 keeps for ever.</summary>
internal sealed class RetentionOptions
{
    /// <summary>Output of tasks that have ended. Default: 90.</summary>
    [Range(0, 36_500)]
    public int LogDays { get; init; } = 90;

    /// <summary>Tasks that have ended, with their steps, events and output; never their artifacts. Default: 365.</summary>
    [Range(0, 36_500)]
    public int TaskDays { get; init; } = 365;

    /// <summary>Rows of the audit log, from the start of each chain; a signed checkpoint stays in their place. Default: 0, for ever.</summary>
    [Range(0, 36_500)]
    public int AuditDays { get; init; }
}
