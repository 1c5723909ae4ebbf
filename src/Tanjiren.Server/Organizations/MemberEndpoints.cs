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
        organizations.MapPost("/{id}/members", AddAsync).WithName("addMember").WithSummary("Makes a user with a first password and adds them.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        organizations.MapPatch("/{id}/members/{userId}", ChangeRoleAsync).WithName("updateMember").WithSummary("Changes a member's role.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 408, 413, 415, 422);
        organizations.MapDelete("/{id}/members/{userId}", RemoveAsync).WithName("removeMember").WithSummary("Removes a member; their tokens in this organization are revoked.")
            .RequireRole(Role.Admin).AnswersProblems(404);
    }

    private static async Task<Results<Ok<Page<MemberBody>>, Problem>> ListAsync(
        string id, int? limit, string? cursor, Caller caller, OrganizationService service, CancellationToken cancellationToken)
    {
        if (Foreign(id, caller) is { } foreign) return foreign;
        if (Data.Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await service.ListMembersAsync(caller, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(), row => row.UserId));
    }

    private static async Task<Results<Created<MemberBody>, Problem>> AddAsync(
        string id, AddMemberRequest request, Caller caller, OrganizationService service, CancellationToken cancellationToken)
    {
        if (Foreign(id, caller) is { } foreign) return foreign;
        var errors = new FieldErrors();
        var email = Passwords.CheckEmail(errors, request.Email, "email");
        var password = Passwords.Check(errors, request.Password, "password");
        errors.Require(request.Role is not null, "role", "is required: viewer, member or admin");
        if (errors.Any) return errors.ToProblem();
        if (MembershipRules.Grant(caller.Role, request.Role!.Value) is { } why) return NotAllowed(why);

        var (change, member) = await service.AddAsync(caller, email, password, request.Role.Value, cancellationToken);
        return change == MemberChange.Applied
            ? TypedResults.Created($"/api/organizations/{id}/members/{member!.UserId}", member.ToBody())
            : Problem.Conflict(ErrorCode.StateConflict, $"{email} can't be added with a first password: the address is in use on this server.",
                "Use another address; existing users join by invitation.", "email_in_use");
    }

    private static async Task<Results<Ok<MemberBody>, Problem>> ChangeRoleAsync(
        string id, string userId, UpdateMemberRequest request, Caller caller, OrganizationService service, CancellationToken cancellationToken)
    {
        if (Foreign(id, caller) is { } foreign) return foreign;
        if (request.Role is not { } role)
        {
            var errors = new FieldErrors();
            errors.Add("role", "is required: viewer, member or admin");
            return errors.ToProblem();
        }
        var (change, why, member) = await service.ChangeRoleAsync(caller, userId, role, cancellationToken);
        return change switch
        {
            MemberChange.Applied => TypedResults.Ok(member!.ToBody()),
            MemberChange.Forbidden => NotAllowed(why!),
            _ => Problem.NotFound("member", userId),
        };
    }

    private static async Task<Results<NoContent, Problem>> RemoveAsync(
        string id, string userId, Caller caller, OrganizationService service, CancellationToken cancellationToken)
    {
        if (Foreign(id, caller) is { } foreign) return foreign;
        var (change, why) = await service.RemoveAsync(caller, userId, cancellationToken);
        return change switch
        {
            MemberChange.Applied => TypedResults.NoContent(),
            MemberChange.Forbidden => NotAllowed(why!),
            _ => Problem.NotFound("member", userId),
        };
    }

    private static Problem? Foreign(string id, Caller caller) => id == caller.OrganizationId
        ? null
        : Problem.Of(404, ErrorCode.NotFound, $"There is no organization '{id}' that this credential acts in.", $"It acts in {caller.OrganizationId} ({caller.OrganizationName}).");

    private static Problem NotAllowed(string why) => Problem.Of(403, ErrorCode.Forbidden, why, "Ask the owner of the organization.");
}
