using System.ComponentModel.DataAnnotations;

namespace Tanjiren.Server.Workstations;

/// <summary>Settings of workstations: <c>Tanjiren:Workstations</c>.</summary>
internal sealed class WorkstationOptions
{
    /// <summary>Without a heartbeat for this long a workstation is offline. Seconds; default 120; at least twice the longest heartbeat interval (60).</summary>
    [Range(2, 86_400)]
    public int OfflineAfterSeconds { get; init; } = 120;
}
