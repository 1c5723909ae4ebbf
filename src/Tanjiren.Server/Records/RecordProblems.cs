using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Records;

/// <summary>Refusals that all things have in common that people keep.</summary>
internal static class RecordProblems
{
    public static Problem Stale(string what, long version) => Problem.Conflict(ErrorCode.VersionConflict, $"Somebody else has changed the {what} since you read it.",
        "Read it again, and repeat your change on what it says now.", version.ToString());

    public static Problem NameTaken(string what, string name) =>
        Problem.Conflict(ErrorCode.NameTaken, $"There is a {what} '{name}' in this organization already.", "Choose another name, or change that one.");

    public static Problem MadeAndGone() =>
        Problem.Of(404, ErrorCode.NotFound, "What this Idempotency-Key made has been deleted since.", "Use a new key to make another one.");

    /// <summary>Null when the caller may delete it: an admin, or who made it.</summary>
    public static Problem? NotYours(Caller caller, string what, string? createdBy) =>
        caller.Role >= Role.Admin || caller.UserId == createdBy ? null
            : Problem.Of(403, ErrorCode.Forbidden, $"Only an admin deletes a {what} that somebody else made.", "Ask an admin or the owner of the organization.");
}
