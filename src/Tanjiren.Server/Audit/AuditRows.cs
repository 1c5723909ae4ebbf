using Tanjiren.Protocol;

namespace Tanjiren.Server.Audit;

/// <summary>A row of <c>audit_events</c>.</summary>
internal sealed record AuditRow
{
    public string Id { get; init; } = "";
    public long At { get; init; }
    public string Actor { get; init; } = "";
    public string Action { get; init; } = "";
    public string Subject { get; init; } = "";
    public string? Detail { get; init; }
    public string? Address { get; init; }
    public int? ChainVersion { get; init; }
    public long? ChainSeq { get; init; }
    public string? PreviousHash { get; init; }
    public string? Hash { get; init; }

    public AuditEventBody ToBody() => new()
    {
        Id = Id, At = DateTimeOffset.FromUnixTimeMilliseconds(At), Actor = Actor, Action = Action, Subject = Subject, Detail = Detail, Address = Address,
        Version = ChainVersion, Sequence = ChainSeq, PreviousHash = PreviousHash, Hash = Hash,
    };
}

/// <summary>A row of <c>audit_chains</c>: how far the chain reaches, and where it starts since retention deleted rows.</summary>
internal sealed record ChainRow
{
    public string Chain { get; init; } = "";
    public long HeadSeq { get; init; }
    public string HeadHash { get; init; } = "";
    public long HeadAt { get; init; }
    public string HeadSignature { get; init; } = "";
    public long StartSeq { get; init; }
    public string StartHash { get; init; } = "";
    public long StartAt { get; init; }
    public string StartSignature { get; init; } = "";

    public AuditHead Head(Jwk key) => Signed(AuditHead.Head, HeadSeq, HeadHash, HeadAt, HeadSignature, key);

    public AuditHead Checkpoint(Jwk key) => Signed(AuditHead.Checkpoint, StartSeq, StartHash, StartAt, StartSignature, key);

    private AuditHead Signed(string kind, long sequence, string hash, long at, string signature, Jwk key) => new()
    {
        Kind = kind, Chain = Chain, Sequence = sequence, Hash = hash, At = DateTimeOffset.FromUnixTimeMilliseconds(at), Key = key, Signature = signature,
    };
}
