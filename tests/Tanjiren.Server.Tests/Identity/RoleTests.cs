using System.Net;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Identity;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Identity;

/// <summary>Who may call what: the table of roles, and that no route was left open by forgetting.</summary>
public sealed class RoleTests
{
    private static readonly Dictionary<string, Role> Least = new()
    {
        ["GET /api/auth/me"] = Role.Viewer,
        ["POST /api/auth/logout"] = Role.Viewer,
        ["POST /api/auth/tokens"] = Role.Viewer,
        ["GET /api/auth/tokens"] = Role.Viewer,
        ["DELETE /api/auth/tokens/{id}"] = Role.Viewer,
        ["GET /api/auth/grants"] = Role.Viewer,
        ["DELETE /api/auth/grants/{id}"] = Role.Viewer,
        ["POST /api/organizations"] = Role.Viewer,
        ["GET /api/organizations"] = Role.Viewer,
        ["GET /api/organizations/{id}/members"] = Role.Viewer,
        ["POST /api/organizations/{id}/members"] = Role.Admin,
        ["PATCH /api/organizations/{id}/members/{userId}"] = Role.Admin,
        ["DELETE /api/organizations/{id}/members/{userId}"] = Role.Viewer, // to leave; MembershipTests: removing another takes an admin
        ["POST /api/organizations/{id}/transfer-ownership"] = Role.Owner,
        ["POST /api/organizations/{id}/invitations"] = Role.Admin,
        ["GET /api/organizations/{id}/invitations"] = Role.Admin,
        ["DELETE /api/organizations/{id}/invitations/{invitationId}"] = Role.Admin,
        ["GET /api/organizations/{id}/doctrine"] = Role.Viewer,
        ["PUT /api/organizations/{id}/doctrine"] = Role.Admin,
        ["GET /api/organizations/{id}/doctrine/versions"] = Role.Viewer,
        ["GET /api/organizations/{id}/doctrine/versions/{version}"] = Role.Viewer,
        ["POST /api/organizations/{id}/doctrine/evaluate"] = Role.Viewer,
        ["POST /api/instances"] = Role.Admin,
        ["GET /api/instances"] = Role.Viewer,
        ["GET /api/instances/{id}"] = Role.Viewer,
        ["PATCH /api/instances/{id}"] = Role.Admin,
        ["DELETE /api/instances/{id}"] = Role.Admin,
        ["POST /api/instances/{id}/registration"] = Role.Admin,
        ["POST /api/instances/{id}/drain"] = Role.Admin,
        ["POST /api/instances/{id}/undrain"] = Role.Admin,
        ["POST /api/instances/{id}/pairing-code"] = Role.Admin,
        ["GET /api/instances/{id}/keys"] = Role.Viewer,
        ["POST /api/instances/{id}/recovery-code"] = Role.Admin,
        ["POST /api/instances/{id}/key-rotations/{rotationId}/approve"] = Role.Admin,
        ["POST /api/instances/{id}/key-rotations/{rotationId}/reject"] = Role.Admin,
        ["GET /api/workers"] = Role.Viewer,
        ["GET /api/workers/{id}"] = Role.Viewer,
        ["GET /api/tasks/{id}/explain"] = Role.Viewer,
        ["GET /api/tasks/runtime-overview"] = Role.Viewer,
        ["POST /api/tasks"] = Role.Member,
        ["GET /api/tasks"] = Role.Viewer,
        ["GET /api/tasks/{id}"] = Role.Viewer,
        ["POST /api/tasks/{id}/cancel"] = Role.Member,
        ["PATCH /api/tasks/{id}"] = Role.Member,
        ["POST /api/tasks/{id}/approve"] = Role.Admin,
        ["POST /api/tasks/{id}/reject"] = Role.Admin,
        ["GET /api/approvals"] = Role.Viewer,
        ["GET /api/approvals/events"] = Role.Viewer,
        ["GET /api/permissions"] = Role.Viewer, ["GET /api/permissions/{id}"] = Role.Viewer, ["POST /api/permissions/{id}/answer"] = Role.Member,
        ["GET /api/tasks/{id}/steps/{stepId}/logs"] = Role.Viewer,
        ["GET /api/tasks/{id}/steps/{stepId}/receipt"] = Role.Viewer,
        ["GET /api/tasks/{id}/events"] = Role.Viewer,
        ["POST /api/tasks/{id}/retry"] = Role.Member,
        ["POST /api/schedules"] = Role.Member,
        ["GET /api/schedules"] = Role.Viewer,
        ["GET /api/schedules/{id}"] = Role.Viewer,
        ["PATCH /api/schedules/{id}"] = Role.Member,
        ["DELETE /api/schedules/{id}"] = Role.Member,
        ["POST /api/schedules/{id}/pause"] = Role.Member,
        ["POST /api/schedules/{id}/resume"] = Role.Member,
        ["POST /api/schedules/{id}/run"] = Role.Member,
        ["GET /api/schedules/{id}/preview"] = Role.Viewer,
        ["POST /api/tasks/{id}/artifacts"] = Role.Member,
        ["POST /api/tasks/{id}/artifacts/files"] = Role.Member,
        ["GET /api/tasks/{id}/artifacts"] = Role.Viewer,
        ["POST /api/investigations/{id}/artifacts"] = Role.Member,
        ["POST /api/investigations/{id}/artifacts/files"] = Role.Member,
        ["GET /api/investigations/{id}/artifacts"] = Role.Viewer,
        ["GET /api/artifacts/{id}"] = Role.Viewer,
        ["GET /api/artifacts/{id}/content"] = Role.Viewer,
        ["DELETE /api/artifacts/{id}"] = Role.Member, // one's own, and an admin anybody's, as the three below: ArtifactTests
        ["POST /api/investigations"] = Role.Member,
        ["GET /api/investigations"] = Role.Viewer,
        ["GET /api/investigations/{id}"] = Role.Viewer,
        ["PATCH /api/investigations/{id}"] = Role.Member,
        ["DELETE /api/investigations/{id}"] = Role.Member,
        ["POST /api/runbooks"] = Role.Member,
        ["GET /api/runbooks"] = Role.Viewer,
        ["GET /api/runbooks/{id}"] = Role.Viewer,
        ["PATCH /api/runbooks/{id}"] = Role.Member,
        ["DELETE /api/runbooks/{id}"] = Role.Member,
        ["POST /api/prompts"] = Role.Member,
        ["GET /api/prompts"] = Role.Viewer,
        ["GET /api/prompts/{id}"] = Role.Viewer,
        ["PATCH /api/prompts/{id}"] = Role.Member,
        ["DELETE /api/prompts/{id}"] = Role.Member,
        ["GET /api/organizations/{id}/webhook"] = Role.Admin,
        ["PUT /api/organizations/{id}/webhook"] = Role.Admin,
        ["DELETE /api/organizations/{id}/webhook"] = Role.Admin,
        ["POST /api/organizations/{id}/webhook/test"] = Role.Admin,
        ["GET /api/organizations/{id}/webhook/deliveries"] = Role.Admin,
        ["GET /api/status"] = Role.Viewer,
        ["GET /api/audit-events"] = Role.Admin,
        ["GET /api/audit-events/export"] = Role.Admin,
        ["GET /api/audit-events/head"] = Role.Admin,
        ["POST /api/tasks/resume"] = Role.Owner,
    };

    private static readonly string[] Open =
    [
        "POST /api/auth/login", "POST /api/setup", "GET /setup", "POST /setup", "GET /healthz", "GET /readyz", "GET /openapi/v1.json",
        "POST /api/invitations/accept", "GET /invitations", "POST /invitations",
        "POST /oauth/device_authorization", "POST /oauth/token", "POST /oauth/revoke", "GET /.well-known/oauth-authorization-server", "GET /device", "POST /device",
    ];

    [Fact]
    public async Task Every_route_says_who_may_call_it()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var endpoints = server.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Select(e => (Route: Name(e), e.Metadata)).ToList();
        foreach (var (route, metadata) in endpoints)
        {
            var forDevices = metadata.GetMetadata<DeviceRequirement>() is not null || metadata.GetMetadata<ProofRequirement>() is not null;
            var role = metadata.GetMetadata<RoleRequirement>()?.Role;
            if (forDevices) role.ShouldBeNull(route);
            else if (role is null) Open.ShouldContain(route);
            else Least[route].ShouldBe(role.Value, route);
        }
        Least.Keys.Except(endpoints.Select(e => e.Route)).ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Each_role_is_admitted_from_its_level_on_and_others_are_told_which_role_they_lack(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var anonymous = server.NewClient(null);
        foreach (var role in new[] { Role.Viewer, Role.Member, Role.Admin })
        {
            using var client = await server.NewMemberAsync(role);
            foreach (var (route, least) in Least.Where(l => l.Key != "POST /api/auth/logout"))
            {
                var response = await SendAsync(client, route);
                if (role >= least)
                {
                    ((int)response.StatusCode).ShouldNotBe(401, $"{role} {route}");
                    ((int)response.StatusCode).ShouldNotBe(403, $"{role} {route}");
                }
                else
                {
                    (await response.ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden)).Detail!.ShouldContain("needs the role " + least.ToString().ToLowerInvariant());
                }
            }
        }
        foreach (var route in Least.Keys) await SendAsync(anonymous, route).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.AuthenticationRequired);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_changed_role_and_a_removed_membership_take_effect_with_the_next_request(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var client = await server.NewMemberAsync(Role.Admin);
        var me = await client.GetBodyAsync<IdentityBody>("/api/auth/me");
        var member = $"/api/organizations/{server.Owner.OrganizationId}/members/{me.UserId}";
        (await server.Client.PatchJsonAsync(member, new UpdateMemberRequest { Role = Role.Viewer })).StatusCode.ShouldBe(HttpStatusCode.OK);
        await client.PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = "x" }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await server.Client.DeleteAsync(member, TestContext.Current.CancellationToken)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await client.GetAsync("/api/auth/me", TestContext.Current.CancellationToken).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
    }

    internal static string Name(RouteEndpoint endpoint) =>
        $"{endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods[0]} /{endpoint.RoutePattern.RawText!.Trim('/')}";

    private static async Task<HttpResponseMessage> SendAsync(HttpClient client, string route)
    {
        var parts = route.Split(' ');
        var request = new HttpRequestMessage(new HttpMethod(parts[0]), parts[1].Replace("{", "no-such-", StringComparison.Ordinal).Replace("}", "", StringComparison.Ordinal));
        if (parts[0] is "POST" or "PATCH" or "PUT") request.Content = new StringContent("{}", null, "application/json");
        var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
        if (response.Content.Headers.ContentType?.MediaType == "text/event-stream") response.Dispose(); // one of these has no end
        else await response.Content.LoadIntoBufferAsync();
        return response;
    }
}
