using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

[JsonConverter(typeof(SnakeCaseEnum<KeyRotationKind>))]
public enum KeyRotationKind
{
    /// <summary>The old key has signed for the new one.</summary>
    Rotation,
    /// <summary>The old key is lost: an admin's code and an admin's word stand in for it.</summary>
    Recovery,
}

[JsonConverter(typeof(SnakeCaseEnum<KeyRotationState>))]
public enum KeyRotationState
{
    /// <summary>Waits for an admin; the old key still counts.</summary>
    Pending,
    /// <summary>The new key counts, the old one no more.</summary>
    Approved,
    /// <summary>By an admin, or after five fingerprints that did not match.</summary>
    Rejected,
    /// <summary>Nobody answered in time: seven days for a rotation, one hour for a recovery.</summary>
    Expired,
    /// <summary>Another request took its place, or the workstation was removed.</summary>
    Withdrawn,
}

/// <summary>
/// <c>POST /api/instances/{id}/key-rotations</c> (workstations): asks for another key. The same request again, for the same new key, is answered with what became
/// of the first; one for another new key takes the place of a rotation that waits.
/// </summary>
public sealed record RequestKeyRotation
{
    /// <summary>A statement (JWS) that the present key has signed over the new one.</summary>
    public string? Statement { get; init; }
    /// <summary>The same claims signed by the new key: whoever asks has it.</summary>
    public string? Acceptance { get; init; }
}

/// <summary>A request for another key. The new key's fingerprint is whole only once it is approved: what an admin types must come from the machine.</summary>
public sealed record KeyRotationBody
{
    public required string Id { get; init; }
    public required string InstanceId { get; init; }
    public required KeyRotationKind Kind { get; init; }
    public required KeyRotationState State { get; init; }
    public required string OldFingerprint { get; init; }
    /// <summary>The first 8 characters of the new key's fingerprint.</summary>
    public required string NewFingerprintStart { get; init; }
    /// <summary>The new key's fingerprint, of an approved one.</summary>
    public string? NewFingerprint { get; init; }
    /// <summary>What the machine calls itself; of a recovery.</summary>
    public string? HostName { get; init; }
    public required DateTimeOffset RequestedAt { get; init; }
    public required DateTimeOffset ExpiresAt { get; init; }
    /// <summary>Fingerprints that may still be wrong before it is rejected.</summary>
    public required int TriesLeft { get; init; }
    public string? DecidedBy { get; init; }
    public DateTimeOffset? DecidedAt { get; init; }
    public string? Reason { get; init; }
}

/// <summary><c>POST /api/instances/{id}/key-rotations/{rotationId}/approve</c>. Repeated by the same person it is answered the same.</summary>
public sealed record ApproveKeyRotationRequest
{
    /// <summary>The last 8 characters of the new key's fingerprint (or more of it), read at the machine: <c>agent status</c>.</summary>
    public string? Fingerprint { get; init; }
}

/// <summary><c>POST /api/instances/{id}/key-rotations/{rotationId}/reject</c>.</summary>
public sealed record RejectKeyRotationRequest
{
    public string? Reason { get; init; }
}

/// <summary>
/// <c>POST /api/device-trust/recover</c>: asks, with an admin's recovery code, that the key that signed the proof takes the place of a lost one. The same code with the
/// same key is answered with what became of it, for as long as the request may be answered; with another key the code is spent.
/// </summary>
public sealed record RecoverRequest
{
    public string? Code { get; init; }
    public string? HostName { get; init; }
    /// <summary>A statement (JWS) by the new key about itself. It names no workstation: only the code knows which.</summary>
    public string? Statement { get; init; }
}

/// <summary>The workstation keeps its id, its name and its work.</summary>
public sealed record RecoverResponse
{
    public required KeyRotationBody Rotation { get; init; }
    public required string InstanceId { get; init; }
    public required string InstanceName { get; init; }
    public required string OrganizationId { get; init; }
    public required string OrganizationName { get; init; }
    public required string KeyFingerprint { get; init; }
    /// <summary>The server's public verification keys (ES256).</summary>
    public required IReadOnlyList<Jwk> ServerKeys { get; init; }
}

/// <summary>
/// <c>GET /api/instances/{id}/keys</c>: every key that the workstation had, with what vouches for each. Saved to a file it is verified without a server
/// (<see cref="KeyChain"/>). Whole, never in pages: each change took an admin, and a part of a chain can't be verified.
/// </summary>
public sealed record KeyChainBody
{
    public required string InstanceId { get; init; }
    public required string InstanceName { get; init; }
    /// <summary>The key that it was paired with.</summary>
    public required FirstKeyBody First { get; init; }
    /// <summary>Oldest first.</summary>
    public required IReadOnlyList<KeyChangeBody> Changes { get; init; }
    /// <summary>Fingerprint of the key that counts now.</summary>
    public required string Current { get; init; }
    /// <summary>The server's word (JWS) for the length and the end of the chain at this moment: a chain that is cut short is not it.</summary>
    public required string Head { get; init; }
    /// <summary>What waits for an admin; not part of the chain.</summary>
    public KeyRotationBody? Pending { get; init; }
}

public sealed record FirstKeyBody
{
    public required Jwk Key { get; init; }
    public required string Fingerprint { get; init; }
    public required DateTimeOffset BoundAt { get; init; }
}

/// <summary>One change of the key. <see cref="Statement"/> and <see cref="Approval"/> say all of it; the other fields repeat it for people, and must agree.</summary>
public sealed record KeyChangeBody
{
    public required int Number { get; init; }
    public required KeyRotationKind Kind { get; init; }
    /// <summary>Of the key from then on.</summary>
    public required string Fingerprint { get; init; }
    public required string ApprovedBy { get; init; }
    /// <summary>To the second.</summary>
    public required DateTimeOffset ApprovedAt { get; init; }
    /// <summary>JWS: <see cref="KeyStatement"/>.</summary>
    public required string Statement { get; init; }
    /// <summary>JWS of the server: <see cref="KeyRecord"/>.</summary>
    public required string Approval { get; init; }
}
