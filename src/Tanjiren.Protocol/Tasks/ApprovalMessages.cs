using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>How much a task may do, and so who has to agree first (T-06). Each is higher than the one before.</summary>
[JsonConverter(typeof(SnakeCaseEnum<ApprovalClass>))]
public enum ApprovalClass
{
    /// <summary>Runs without anybody's approval.</summary>
    None,
    /// <summary>Infrastructure, databases, sensitive systems.</summary>
    SensitiveWrite,
    /// <summary>Production: the highest tier. Nobody approves their own.</summary>
    ProductionMutation,
}
