using Tanjiren.Protocol;

namespace Tanjiren.Server.Organizations.Invitations;

internal sealed record InvitationRow
{
    public string Id { get; init; } = "";
    public string? Email { get; init; }
    public string Role { get; init; } = "";
    public string CreatedBy { get; init; } = "";
    public long CreatedAt { get; init; }
    public long ExpiresAt { get; init; }
    public long? AcceptedAt { get; init; }
    public string? AcceptedBy { get; init; }
    public long? RevokedAt { get; init; }

    public Role ParsedRole => Enum.Parse<Role>(Role, ignoreCase: true);

    public InvitationBody ToBody(DateTimeOffset now) => new()
    {
        Id = Id,
        Email = Email,
        Role = ParsedRole,
        State = AcceptedAt is not null ? InvitationState.Accepted
            : RevokedAt is not null ? InvitationState.Revoked
            : ExpiresAt <= now.ToUnixTimeMilliseconds() ? InvitationState.Expired
            : InvitationState.Pending,
        CreatedBy = CreatedBy,
        CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt),
        ExpiresAt = DateTimeOffset.FromUnixTimeMilliseconds(ExpiresAt),
        AcceptedBy = AcceptedBy,
        AcceptedAt = Instant(AcceptedAt),
        RevokedAt = Instant(RevokedAt),
    };

    private static DateTimeOffset? Instant(long? at) => at is { } ms ? DateTimeOffset.FromUnixTimeMilliseconds(ms) : null;
}
