using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>Roles in an organization, weakest first; each includes those before it. One owner (G-01).</summary>
[JsonConverter(typeof(CamelCaseEnum<Role>))]
public enum Role
{
    /// <summary>Reads.</summary>
    Viewer,
    /// <summary>Also creates, cancels and retries tasks.</summary>
    Member,
    /// <summary>Also manages workstations and members, and approves.</summary>
    Admin,
    /// <summary>Also transfers and deletes the organization. Exactly one.</summary>
    Owner,
}

/// <summary><c>POST /api/setup</c>: makes the first owner of a bare server with the code of the set-up link it printed.</summary>
public sealed record SetupRequest
{
    public string? Code { get; init; }
    public string? Email { get; init; }
    /// <summary>At least 12 characters.</summary>
    public string? Password { get; init; }
    public string? OrganizationName { get; init; }
}

/// <summary><c>POST /api/auth/login</c>: answers with the cookie <c>tnv_session</c>.</summary>
public sealed record LoginRequest
{
    public string? Email { get; init; }
    public string? Password { get; init; }
    /// <summary>Name or id of the organization to act in; when absent, the one that the person has been in longest.</summary>
    public string? Organization { get; init; }
}

/// <summary><c>GET /api/auth/me</c>: who the credential belongs to and where it acts.</summary>
public sealed record IdentityBody
{
    public required string UserId { get; init; }
    public required string Email { get; init; }
    public required OrganizationBody Organization { get; init; }
    public required Role Role { get; init; }
}

/// <summary><c>POST /api/auth/tokens</c>.</summary>
public sealed record CreateTokenRequest
{
    public string? Name { get; init; }
    /// <summary>Days until it expires, 1-365; absent: 90.</summary>
    public int? ExpiresInDays { get; init; }
}

/// <summary>A personal access token as it is listed: never the secret.</summary>
public sealed record TokenBody
{
    public required string Id { get; init; }
    public required string Name { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset ExpiresAt { get; init; }
    public DateTimeOffset? LastUsedAt { get; init; }
}

/// <summary>A personal access token just made; <see cref="Secret"/> (<c>tnv_…</c>) is shown this once.</summary>
public sealed record CreatedToken
{
    public required TokenBody Token { get; init; }
    public required string Secret { get; init; }
}

public sealed record OrganizationBody
{
    public required string Id { get; init; }
    public required string Name { get; init; }
}

public sealed record CreateOrganizationRequest
{
    public string? Name { get; init; }
}

public sealed record MemberBody
{
    public required string UserId { get; init; }
    public required string Email { get; init; }
    /// <summary>What they want to be called, if they said so.</summary>
    public string? Name { get; init; }
    public required Role Role { get; init; }
}

/// <summary><c>POST /api/organizations/{id}/members</c>: adds a new user with a first password; who has an account comes in by invitation.</summary>
public sealed record AddMemberRequest
{
    public string? Email { get; init; }
    public string? Password { get; init; }
    public Role? Role { get; init; }
}

public sealed record UpdateMemberRequest
{
    public Role? Role { get; init; }
}
