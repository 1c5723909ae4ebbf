using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.DeviceTrust.Rotations;

/// <summary>A request for another key, as it is stored.</summary>
internal sealed record KeyRotationRow
{
    public string Id { get; init; } = "";
    public string InstanceId { get; init; } = "";
    public string Kind { get; init; } = "";
    public string State { get; init; } = "";
    public string OldJkt { get; init; } = "";
    public string NewJkt { get; init; } = "";
    public string NewX { get; init; } = "";
    public string NewY { get; init; } = "";
    public string Statement { get; init; } = "";
    public string? HostName { get; init; }
    public long RequestedAt { get; init; }
    public long ExpiresAt { get; init; }
    public long Tries { get; init; }
    public string? DecidedBy { get; init; }
    public long? DecidedAt { get; init; }
    public string? Reason { get; init; }
    public long? Number { get; init; }
    public string? Approval { get; init; }

    public KeyRotationKind ParsedKind => WireNames.Parse<KeyRotationKind>(Kind);

    public KeyRotationState ParsedState => WireNames.Parse<KeyRotationState>(State);

    /// <summary>Waits for an answer that may still come.</summary>
    public bool IsOpen(long now) => ParsedState == KeyRotationState.Pending && ExpiresAt > now;

    /// <param name="now">
    /// For people, who see that its time is over before anybody has written so. Null for the machine: it deletes its key upon a final state, so it is told what is stored, and what
    /// is stored no approval overtakes.
    /// </param>
    public KeyRotationBody ToBody(DateTimeOffset? now) => new()
    {
        Id = Id,
        InstanceId = InstanceId,
        Kind = ParsedKind,
        State = now is { } at && ParsedState == KeyRotationState.Pending && !IsOpen(at.ToUnixTimeMilliseconds()) ? KeyRotationState.Expired : ParsedState,
        OldFingerprint = OldJkt,
        NewFingerprintStart = KeyFingerprint.Start(NewJkt),
        NewFingerprint = ParsedState == KeyRotationState.Approved ? NewJkt : null,
        HostName = HostName,
        RequestedAt = DateTimeOffset.FromUnixTimeMilliseconds(RequestedAt),
        ExpiresAt = DateTimeOffset.FromUnixTimeMilliseconds(ExpiresAt),
        TriesLeft = Math.Max(0, KeyRotationRules.MaxTries - (int)Tries),
        DecidedBy = DecidedBy,
        DecidedAt = DecidedAt is { } decided ? DateTimeOffset.FromUnixTimeMilliseconds(decided) : null,
        Reason = Reason,
    };

    /// <summary>Of an approved one.</summary>
    public KeyChangeBody ToChange() => new()
    {
        Number = (int)Number!.Value,
        Kind = ParsedKind,
        Fingerprint = NewJkt,
        ApprovedBy = DecidedBy!,
        ApprovedAt = DateTimeOffset.FromUnixTimeSeconds(DecidedAt!.Value / 1000),
        Statement = Statement,
        Approval = Approval!,
    };
}
