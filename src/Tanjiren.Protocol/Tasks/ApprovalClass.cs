using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>How much say others have before a task runs (T-06), lowest first. Of several that apply the highest counts.</summary>
[JsonConverter(typeof(SnakeCaseEnum<ApprovalClass>))]
public enum ApprovalClass
{
    /// <summary>It runs at once.</summary>
    None,
    /// <summary>It writes to infrastructure, databases or other sensitive systems.</summary>
    SensitiveWrite,
    /// <summary>It changes production: the highest.</summary>
    ProductionMutation,
}
