using System.ComponentModel.DataAnnotations;

namespace Tanjiren.Server.Assignments;

/// <summary>Settings of signed work: <c>Tanjiren:Assignments</c>.</summary>
internal sealed class AssignmentOptions
{
    /// <summary>After this the key that signs work names another one and signs no more. Days, 0-3650; 0: never. Default 90.</summary>
    [Range(0, 3650)]
    public int KeyDays { get; init; } = 90;
}
