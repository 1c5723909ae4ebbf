using Microsoft.AspNetCore.Http.HttpResults;
using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations.Invitations;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Organizations;

/// <summary>Organizations and their members. A credential acts in one organization; the others of its user are only listed.</summary>
internal static class OrganizationEndpoints
{
    public static IServiceCollection AddOrganizations(this IServiceCollection services) => services
        .AddSingleton<OrganizationService>()
        .AddSingleton<MembershipService>()
        .AddInvitations();

    public static void MapOrganizations(this IEndpointRouteBuilder routes)
    {
        var organizations = routes.MapGroup("/api/organizations").WithTags("Organizations");
        organizations.MapPost("", CreateAsync).WithName("createOrganization").WithSummary("A new organization with you as its owner; sign in to it to act there.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 409, 408, 413, 415, 422);
        organizations.MapGet("", ListAsync).WithName("listOrganizations").WithSummary("The organizations that you are in.")
            .RequireRole(Role.Viewer).AnswersProblems(400, 422);
        MemberEndpoints.MapMembers(organizations);
        InvitationEndpoints.MapInvitations(organizations);
        AcceptEndpoints.MapAccept(routes);
    }

    private static async Task<Results<Created<OrganizationBody>, Problem>> CreateAsync(
        CreateOrganizationRequest request, Caller caller, OrganizationService service, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var name = errors.Text(request.Name, WireLimits.MaxNameLength, "name");
        if (errors.Any) return errors.ToProblem();
        return await service.CreateAsync(caller, name, cancellationToken) is { } organization
            ? TypedResults.Created("/api/organizations/" + organization.Id, organization)
            : Problem.Conflict(ErrorCode.NameTaken, $"There is an organization '{name}' on this server already.", "Choose another name.");
    }

    private static async Task<Results<Ok<Page<OrganizationBody>>, Problem>> ListAsync(
        int? limit, string? cursor, Caller caller, OrganizationService service, CancellationToken cancellationToken)
    {
        if (Data.Paging.Read(limit, cursor, out var page) is { } problem) return problem;
        var rows = await service.ListAsync(caller, page.After, page.Fetch, cancellationToken);
        return TypedResults.Ok(page.ToPage(rows, row => new OrganizationBody { Id = row.Id, Name = row.Name }, row => row.Id));
    }
}
