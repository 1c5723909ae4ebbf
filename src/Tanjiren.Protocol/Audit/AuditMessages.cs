namespace Tanjiren.Protocol;

/// <summary>
/// One row of the audit log: who did what, to what, when, from where. A line of an export carries all fields; in a list the last four are absent until the row is
/// sealed, which takes a second.
/// </summary>
public sealed record AuditEventBody
{
    public required string Id { get; init; }
    /// <summary>When it was done, in milliseconds; rows of one chain may stand out of this order.</summary>
    public required DateTimeOffset At { get; init; }
    /// <summary>User id, or what acted without a person: a workstation's id, <c>server</c>.</summary>
    public required string Actor { get; init; }
    /// <summary>For example <c>task.created</c>.</summary>
    public required string Action { get; init; }
    /// <summary>Id of what it was done to.</summary>
    public required string Subject { get; init; }
    public string? Detail { get; init; }
    /// <summary>The client's network address.</summary>
    public string? Address { get; init; }
    /// <summary>Version of the encoding that <see cref="Hash"/> is over; see <see cref="AuditChain"/>.</summary>
    public int? Version { get; init; }
    /// <summary>Place in the chain of its organization, from 1, without holes.</summary>
    public long? Sequence { get; init; }
    /// <summary>Hash of the row before it, lower-case hex.</summary>
    public string? PreviousHash { get; init; }
    /// <summary>SHA-256 over <see cref="PreviousHash"/> and every other field, lower-case hex.</summary>
    public string? Hash { get; init; }
}

/// <summary>
/// What the server signed about a chain: a <c>head</c> says how far it reached at an instant; a <c>checkpoint</c> stands for the rows up to it that retention
/// deleted (sequence 0: none). A line of an export, of the head file, and the answer of <c>GET /api/audit-events/head</c>.
/// </summary>
public sealed record AuditHead
{
    public const string Head = "head";
    public const string Checkpoint = "checkpoint";

    public required string Kind { get; init; }
    /// <summary>Id of the organization; <c>server</c> for rows of none.</summary>
    public required string Chain { get; init; }
    public required long Sequence { get; init; }
    /// <summary>Of the row with that number; of 0: 64 zeros.</summary>
    public required string Hash { get; init; }
    /// <summary>When it was signed.</summary>
    public required DateTimeOffset At { get; init; }
    /// <summary>The public key to check <see cref="Signature"/> by; its thumbprint is the fingerprint that <c>audit verify --key</c> takes.</summary>
    public required Jwk Key { get; init; }
    /// <summary>ES256 over <see cref="AuditChain.SignedBytes"/>: r and s, base64url.</summary>
    public required string Signature { get; init; }
}
