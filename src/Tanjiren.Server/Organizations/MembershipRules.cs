using Tanjiren.Protocol;

namespace Tanjiren.Server.Organizations;

/// <summary>Who may do what to a membership. Pure. The database has the last word on "one owner" (a unique index).</summary>
internal static class MembershipRules
{
    /// <summary>Null when <paramref name="actor"/> may give <paramref name="role"/>, else why not.</summary>
    public static string? Grant(Role actor, Role role) =>
        role == Role.Owner ? "An organization has exactly one owner; ownership can't be given this way."
        : role > actor ? $"Nobody gives a role above their own ({actor.ToString().ToLowerInvariant()})."
        : null;

    /// <summary>Null when <paramref name="actor"/> may change or remove a member of the role <paramref name="current"/>, else why not.</summary>
    public static string? Touch(Role actor, Role current) =>
        current == Role.Owner ? "The owner can't be changed or removed."
        : current > actor ? $"Nobody changes a member above their own role ({actor.ToString().ToLowerInvariant()})."
        : null;
}
