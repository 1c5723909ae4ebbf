using Tanjiren.Server.Data;

namespace Tanjiren.Server.Backups;

/// <summary>
/// The one place where a restore voids approvals that were given and not used before the backup: what they were given for may have run since. Approvals have no
/// table of their own yet, so there are none to void; their feature brings the statement.
/// </summary>
internal static class RestoredApprovals
{
    public static Task VoidAsync(WriteTransaction _) => Task.CompletedTask;
}
