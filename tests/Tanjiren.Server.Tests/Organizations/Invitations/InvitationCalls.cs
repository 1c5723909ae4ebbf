using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Organizations.Invitations;

/// <summary>What inviters and invited people send, for tests that play them.</summary>
internal static class InvitationCalls
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public static string InvitationsUrl(this ServerFixture server) => $"/api/organizations/{server.Owner.OrganizationId}/invitations";

    public static string MembersUrl(this ServerFixture server) => $"/api/organizations/{server.Owner.OrganizationId}/members";

    /// <summary>An invitation to <c>local</c>, made by its owner unless by another.</summary>
    public static async Task<CreatedInvitation> InviteAsync(this ServerFixture server, Role role, string? email = null, int? hours = null, HttpClient? by = null) =>
        await (await (by ?? server.Client).PostJsonAsync(server.InvitationsUrl(), new CreateInvitationRequest { Role = role, Email = email, ExpiresInHours = hours })).BodyAsync<CreatedInvitation>();

    public static string Code(this CreatedInvitation made) => made.Link[(made.Link.IndexOf("?code=", StringComparison.Ordinal) + 6)..];

    /// <summary>As somebody without credentials. With a name: a new person.</summary>
    public static async Task<HttpResponseMessage> AcceptAsync(this ServerFixture server, string? code, string? email, string? name = "Ann Other", string? password = ServerFixture.Password)
    {
        using var anonymous = server.NewClient(null);
        return await anonymous.PostJsonAsync("/api/invitations/accept", new AcceptInvitationRequest { Code = code, Email = email, Name = name, Password = password });
    }

    public static async Task<IReadOnlyList<InvitationBody>> InvitationsAsync(this ServerFixture server) =>
        (await server.Client.GetBodyAsync<Page<InvitationBody>>(server.InvitationsUrl())).Items;

    public static async Task<IReadOnlyList<MemberBody>> MembersAsync(this ServerFixture server) =>
        (await server.Client.GetBodyAsync<Page<MemberBody>>(server.MembersUrl())).Items;

    public static string NewEmail() => Guid.NewGuid().ToString("n") + "@example.test";

    /// <summary>A person with an account on the server, who is in no organization but their own.</summary>
    public static async Task<string> NewPersonAsync(this ServerFixture server)
    {
        var (_, owner) = await server.NewOrganizationAsync();
        using var client = owner;
        var me = await client.GetBodyAsync<IdentityBody>("/api/auth/me");
        (await server.Client.DeleteAsync($"{server.MembersUrl()}/{me.UserId}", Cancelled)).EnsureSuccessStatusCode();
        return me.Email;
    }

    public static Task<IReadOnlyList<AuditRow>> AuditAsync(this ServerFixture server, string action) => server.Database.ReadAsync(s => s.ListAsync<AuditRow>(
        "SELECT organization_id, actor, subject, detail, address FROM audit_events WHERE action = @action ORDER BY id", new { action }), Cancelled);

    internal sealed record AuditRow
    {
        public string OrganizationId { get; init; } = "";
        public string Actor { get; init; } = "";
        public string Subject { get; init; } = "";
        public string Detail { get; init; } = "";
        public string? Address { get; init; }
    }
}
