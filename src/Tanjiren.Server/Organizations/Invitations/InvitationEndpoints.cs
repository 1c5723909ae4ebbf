using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Organizations.Invitations;

/// <summary>The invitations of the organization that the credential acts in.</summary>
internal static class InvitationEndpoints
{
    private const int DefaultHours = 72;
    private const int MaxHours = 720;

    public static IServiceCollection AddInvitations(this IServiceCollection services) => services
        .AddFeatureOptions<InvitationOptions>("Invitations")
        .AddSingleton<InvitationService>()
        .AddSingleton<InvitationLimits>()
        .AddSingleton<InvitationAcceptance>()
        .AddSingleton<InvitationPage>();

    public static void MapInvitations(RouteGroupBuilder organizations)
    {
        organizations.MapPost("/{id}/invitations", CreateAsync).WithName("createInvitation").WithSummary("Makes a link by which one person joins; it is shown this once.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 409, 408, 413, 415, 422);
        organizations.MapGet("/{id}/invitations", ListAsync).WithName("listInvitations").WithSummary("The invitations and what became of them, oldest first.")
            .RequireRole(Role.Admin).AnswersProblems(400, 404, 422);
        organizations.MapDelete("/{id}/invitations/{invitationId}", RevokeAsync).WithName("revokeInvitation").WithSummary("Takes an invitation back; its link stops working.")
            .RequireRole(Role.Admin).AnswersProblems(404, 409);
    }

    private static async Task<Results<Created<CreatedInvitation>, Problem>> CreateAsync(string id, CreateInvitationRequest request, Caller caller, HttpContext context,
        InvitationService service, ServerAddress address, TimeProvider clock, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        var errors = new FieldErrors();
        var email = request.Email is null ? null : Passwords.CheckEmail(errors, request.Email, "email");
        errors.Require(request.Role is not null, "role", "is required: viewer, member or admin");
        errors.Range(request.ExpiresInHours, 1, MaxHours, "expiresInHours");
        if (errors.Any) return errors.ToProblem();

        var made = await service.CreateAsync(caller, email, request.Role!.Value, TimeSpan.FromHours(request.ExpiresInHours ?? DefaultHours), cancellationToken);
        if (made.Change == InvitationChange.Forbidden) return MemberEndpoints.NotAllowed(made.Why!);
        if (made.Change == InvitationChange.AlreadyMember)
            return Problem.Conflict(ErrorCode.StateConflict, $"{email} is a member already.", "Change their role instead: PATCH …/members/{userId}.", "member");
        context.Response.Headers.CacheControl = "no-store";
        return TypedResults.Created((string?)null, new CreatedInvitation
        {
            Invitation = made.Row!.ToBody(clock.GetUtcNow()), Link = $"{address.UrlOf(context.Request)}/invitations?code={made.Code}",
        });
    }

    private static async Task<Results<Ok<Page<InvitationBody>>, Problem>> ListAsync(
        string id, int? limit, string? cursor, Caller caller, InvitationService service, TimeProvider clock, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        if (Data.Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await service.ListAsync(caller, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => row.ToBody(clock.GetUtcNow()), row => row.Id));
    }

    private static async Task<Results<NoContent, Problem>> RevokeAsync(
        string id, string invitationId, Caller caller, InvitationService service, CancellationToken cancellationToken)
    {
        if (MemberEndpoints.Foreign(id, caller) is { } foreign) return foreign;
        var revoked = await service.RevokeAsync(caller, invitationId, cancellationToken);
        return revoked.Change switch
        {
            InvitationChange.Applied or InvitationChange.AlreadyDone => TypedResults.NoContent(),
            InvitationChange.Forbidden => MemberEndpoints.NotAllowed(revoked.Why!),
            InvitationChange.Accepted => Problem.Conflict(ErrorCode.StateConflict, "Somebody came in by this invitation already.",
                $"Remove the member instead: DELETE …/members/{revoked.Row!.AcceptedBy}.", "accepted"),
            _ => Problem.NotFound("invitation", invitationId),
        };
    }
}
