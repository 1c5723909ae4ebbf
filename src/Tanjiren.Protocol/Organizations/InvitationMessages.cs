using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What became of an invitation.</summary>
[JsonConverter(typeof(CamelCaseEnum<InvitationState>))]
public enum InvitationState
{
    /// <summary>The link works.</summary>
    Pending,
    /// <summary>Somebody came in by it; it works once.</summary>
    Accepted,
    /// <summary>An admin took it back, or its maker lost the right to invite with its role.</summary>
    Revoked,
    /// <summary>Its time was over before anybody came.</summary>
    Expired,
}

/// <summary><c>POST /api/organizations/{id}/invitations</c>.</summary>
public sealed record CreateInvitationRequest
{
    /// <summary>Only an account of this address may accept; absent: whoever has the link.</summary>
    public string? Email { get; init; }
    /// <summary>viewer, member or admin, and not above the inviter's own.</summary>
    public Role? Role { get; init; }
    /// <summary>Hours until the link stops working, 1-720; absent: 72.</summary>
    public int? ExpiresInHours { get; init; }
}

/// <summary>An invitation as it is listed: never the link.</summary>
public sealed record InvitationBody
{
    public required string Id { get; init; }
    public string? Email { get; init; }
    public required Role Role { get; init; }
    public required InvitationState State { get; init; }
    /// <summary>User id of the inviter.</summary>
    public required string CreatedBy { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset ExpiresAt { get; init; }
    /// <summary>User id of who came in by it.</summary>
    public string? AcceptedBy { get; init; }
    public DateTimeOffset? AcceptedAt { get; init; }
    public DateTimeOffset? RevokedAt { get; init; }
}

/// <summary>An invitation just made; <see cref="Link"/> is shown this once.</summary>
public sealed record CreatedInvitation
{
    public required InvitationBody Invitation { get; init; }
    /// <summary><c>https://SERVER/invitations?code=…</c>: opens a page; programs send the code to <c>POST /api/invitations/accept</c>.</summary>
    public required string Link { get; init; }
}

/// <summary><c>POST /api/invitations/accept</c>: answers with the cookie <c>tnv_session</c>, like a login.</summary>
public sealed record AcceptInvitationRequest
{
    /// <summary>The <c>code</c> of the link.</summary>
    public string? Code { get; init; }
    public string? Email { get; init; }
    /// <summary>Of the account; for a new person the one that it shall have, at least 12 characters.</summary>
    public string? Password { get; init; }
    /// <summary>What to call a new person. With it an account is made unless the address has one; without it the address must have one.</summary>
    public string? Name { get; init; }
}

/// <summary><c>POST /api/organizations/{id}/transfer-ownership</c>.</summary>
public sealed record TransferOwnershipRequest
{
    /// <summary>The member who becomes the owner; the old owner becomes an admin.</summary>
    public string? UserId { get; init; }
}
