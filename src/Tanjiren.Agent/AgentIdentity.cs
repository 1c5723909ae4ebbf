using System.Text.Json.Serialization;
using Tanjiren.Protocol;

namespace Tanjiren.Agent;

/// <summary>Who this agent is (<c>identity.json</c>). Nothing in it is secret: the key is, and lies in the key store.</summary>
public sealed record AgentIdentity
{
    public required string ServerUrl { get; init; }
    public required string InstanceId { get; init; }
    public required string InstanceName { get; init; }
    public required string OrganizationId { get; init; }
    public required string OrganizationName { get; init; }
    public required string KeyFingerprint { get; init; }
    /// <summary>The control plane's keys at the pairing: the first says who it is.</summary>
    public required IReadOnlyList<Jwk> ServerKeys { get; init; }
    /// <summary>The keys that may sign work, oldest first, once they are others than the first of <see cref="ServerKeys"/>; each was announced by one before it.</summary>
    public IReadOnlyList<Jwk>? WorkKeys { get; init; }

    /// <summary>The identity in <paramref name="home"/>, or null when it was never paired.</summary>
    public static AgentIdentity? Load(string home) =>
        AgentHome.Read(Path.Combine(home, "identity.json"), AgentJson.Default.AgentIdentity);
}

/// <summary>The JSON of the files in the agent's home.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, Converters = [typeof(InstantConverter)])]
[JsonSerializable(typeof(AgentIdentity))]
[JsonSerializable(typeof(AgentStatus))]
internal sealed partial class AgentJson : JsonSerializerContext;
