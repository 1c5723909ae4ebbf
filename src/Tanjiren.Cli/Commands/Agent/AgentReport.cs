using System.Text.Json;
using System.Text.Json.Serialization;

using Tanjiren.Agent;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>agent status --json</c>.</summary>
internal sealed record AgentReport
{
    public required bool Running { get; init; }
    public required string Home { get; init; }
    public AgentReportIdentity? Identity { get; init; }
    /// <summary>What the agent wrote last; of the last run when it does not run.</summary>
    public AgentStatus? Status { get; init; }
}

internal sealed record AgentReportIdentity
{
    public required string ServerUrl { get; init; }
    public required string InstanceId { get; init; }
    public required string InstanceName { get; init; }
    public required string KeyFingerprint { get; init; }
    /// <summary>Where the private key lies: <c>keychain</c> or <c>file</c>; absent when there is none, or it can't be told.</summary>
    public string? KeyLiesIn { get; init; }
    /// <summary>Of the key that the server signs with, as it was told at the pairing.</summary>
    public string? ServerKeyFingerprint { get; init; }
    /// <summary>Of the new key of a rotation that waits for an admin.</summary>
    public string? NewKeyFingerprint { get; init; }
    /// <summary>Of the key of a recovery that is under way, or was stopped.</summary>
    public string? RecoveryKeyFingerprint { get; init; }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(InstantConverter)])]
[JsonSerializable(typeof(AgentReport))]
internal sealed partial class AgentReportJson : JsonSerializerContext;
