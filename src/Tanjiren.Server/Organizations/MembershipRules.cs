using Tanjiren.Protocol;

namespace Tanjiren.Server.Organizations;

/// <summary>Who may do what to a membership. Pure. The database has the last word on "one owner" (a unique index).</summary>
internal static class MembershipRules
{
    /// <summary>Null when <paramref name="actor"/> (null: no member any more) may manage members at all, else why not.</summary>
    public static string? Manage(Role? actor) =>
        actor is null ? "You are no longer a member of this organization."
        : actor < Role.Admin ? $"This needs the role admin; you have the role {Lower(actor.Value)}."
        : null;

    /// <summary>Null when <paramref name="actor"/> (null: no member any more) may make and change tasks, else why not.</summary>
    public static string? Work(Role? actor) =>
        actor is null ? "You are no longer a member of this organization."
        : actor < Role.Member ? $"This needs the role member; you have the role {Lower(actor.Value)}."
        : null;

    /// <summary>Null when <paramref name="actor"/> may give <paramref name="role"/>, else why not.</summary>
    public static string? Grant(Role actor, Role role) =>
        role == Role.Owner ? "An organization has exactly one owner; ownership can't be given this way."
        : role > actor ? $"Nobody gives a role above their own ({Lower(actor)})."
        : null;

    /// <summary>Null when <paramref name="actor"/> may change or remove a member of the role <paramref name="current"/>, else why not.</summary>
    public static string? Touch(Role actor, Role current) =>
        current == Role.Owner ? "The owner can't be changed or removed."
        : current > actor ? $"Nobody changes a member above their own role ({Lower(actor)})."
        : null;

    /// <summary>Null when <paramref name="inviter"/> may invite somebody as <paramref name="role"/>, else why not. Asked again whenever their role changes.</summary>
    public static string? Invite(Role? inviter, Role role) => Manage(inviter) ?? Grant(inviter!.Value, role);

    /// <summary>Null when a member of this role may leave, else why not.</summary>
    public static string? Leave(Role role) => role == Role.Owner ? "The owner can't leave." : null;

    private static string Lower(Role role) => role.ToString().ToLowerInvariant();
}
