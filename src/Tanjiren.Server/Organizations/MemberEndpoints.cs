using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Organizations;

/// <summary>The members of the organization that the credential acts in; every other organization is 404.</summary>
internal static class MemberEndpoints
{
    public static void MapMembers(RouteGroupBuilder organizations)
    {
        organizations.MapGet("/{id}/members", ListAsync).WithName("listMembers").WithSummary("The members and their roles.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 404, 422);
        organizations.MapPost("/{id}/members", AddAsync).WithName("addMember").WithSummary("Makes a user with a first password, and an organization of their own, and adds them.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        organizations.MapPatch("/{id}/members/{userId}", ChangeRoleAsync).WithName("updateMember").WithSummary("Changes a member's role, at once.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 408, 413, 415, 422);
        // Everybody may leave; that removing others takes an admin is a rule of the service.
        organizations.MapDelete("/{id}/members/{userId}", RemoveAsync).WithName("removeMember")
            .WithSummary("Removes a member (admins), or leaves (your own id). Their tokens in this organization are revoked.")
            .RequireRole(Role.Viewer).AnswersProblems(404);
        organizations.MapPost("/{id}/transfer-ownership", TransferAsync).WithName("transferOwnership").WithSummary("Makes another member the owner; you become an admin.")
            .RequireRole(Role.Owner).AnswersProblems(400, 404, 408, 413, 415, 422);
    }

    private static async Task<Results<Ok<Page<MemberBody>>, Problem>> ListAsync(
        string id, int? limit, string? cursor, Caller caller, MembershipService service, CancellationToken cancellationToken)
    {
        if (Foreign(id, caller) is { } foreign) return foreign;
        if (Data.Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await service.ListAsync(caller, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.UserId));
    }

    private static async Task<Results<Created<MemberBody>, Problem>> AddAsync(
        string id, AddMemberRequest request, Caller caller, MembershipService service, CancellationToken cancellationToken)
    {
        if (Foreign(id, caller) is { } foreign) return foreign;
        var errors = new FieldErrors();
        var email = Passwords.CheckEmail(errors, request.Email, "email");
        var password = Passwords.Check(errors, request.Password, "password");
        errors.Require(request.Role is not null, "role", "is required: viewer, member or admin");
        if (errors.Any) return errors.ToProblem();

        var outcome = await service.AddAsync(caller, email, password, request.Role!.Value, cancellationToken);
        return outcome.Change switch
        {
            MemberChange.Applied => TypedResults.Created($"/api/organizations/{id}/members/{outcome.Member!.UserId}", outcome.Member.ToBody()),
            MemberChange.Forbidden => NotAllowed(outcome.Why!),
            _ => Problem.Conflict(ErrorCode.StateConflict, $"{email} can't be added with a first password: the address is in use on this server.",
                $"Invite them instead: POST /api/organizations/{id}/invitations.", "email_in_use"),
        };
    }

    private static async Task<Results<Ok<MemberBody>, Problem>> ChangeRoleAsync(
        string id, string userId, UpdateMemberRequest request, Caller caller, MembershipService service, CancellationToken cancellationToken)
    {
        if (Foreign(id, caller) is { } foreign) return foreign;
        if (request.Role is not { } role) return Invalid("role", "is required: viewer, member or admin");
        return Answer(userId, await service.ChangeRoleAsync(caller, userId, role, cancellationToken));
    }

    private static async Task<Results<NoContent, Problem>> RemoveAsync(
        string id, string userId, Caller caller, MembershipService service, CancellationToken cancellationToken)
    {
        if (Foreign(id, caller) is { } foreign) return foreign;
        var outcome = await service.RemoveAsync(caller, userId, cancellationToken);
        return outcome.Change switch
        {
            MemberChange.Applied => TypedResults.NoContent(),
            MemberChange.Forbidden when userId == caller.UserId => Problem.Of(403, ErrorCode.Forbidden, outcome.Why!,
                $"Transfer the ownership to another member first: POST /api/organizations/{id}/transfer-ownership."),
            MemberChange.Forbidden => NotAllowed(outcome.Why!),
            _ => Problem.NotFound("member", userId),
        };
    }

    private static async Task<Results<Ok<MemberBody>, Problem>> TransferAsync(
        string id, TransferOwnershipRequest request, Caller caller, MembershipService service, CancellationToken cancellationToken)
    {
        if (Foreign(id, caller) is { } foreign) return foreign;
        if (!Ids.IsValid(request.UserId, Ids.User)) return Invalid("userId", "is required: the id of a member (usr_…)");
        if (request.UserId == caller.UserId) return Invalid("userId", "is you, and you are the owner already");
        return Answer(request.UserId!, await service.TransferAsync(caller, request.UserId!, cancellationToken));
    }

    private static Results<Ok<MemberBody>, Problem> Answer(string userId, MemberOutcome outcome) => outcome.Change switch
    {
        MemberChange.Applied => TypedResults.Ok(outcome.Member!.ToBody()),
        MemberChange.Forbidden => NotAllowed(outcome.Why!),
        _ => Problem.NotFound("member", userId),
    };

    private static Problem Invalid(string field, string message)
    {
        var errors = new FieldErrors();
        errors.Add(field, message);
        return errors.ToProblem();
    }

    internal static Problem? Foreign(string id, Caller caller) => id == caller.OrganizationId
        ? null
        : Problem.Of(404, ErrorCode.NotFound, $"There is no organization '{id}' that this credential acts in.", $"It acts in {caller.OrganizationId} ({caller.OrganizationName}).");

    internal static Problem NotAllowed(string why) => Problem.Of(403, ErrorCode.Forbidden, why, "Ask an admin or the owner of the organization.");
}
