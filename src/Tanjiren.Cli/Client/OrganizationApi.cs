using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The routes of organizations, their members and invitations. They name the organization that the credential acts in, which is asked for first.</summary>
internal sealed class OrganizationApi(ApiClient api)
{
    private IdentityBody? me;

    public async Task<IdentityBody> MeAsync(CancellationToken cancellation) =>
        me ??= await api.GetAsync("/api/auth/me", WireJson.Default.IdentityBody, cancellation);

    public Task<OrganizationBody> CreateAsync(CreateOrganizationRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, "/api/organizations", request, WireJson.Default.CreateOrganizationRequest, WireJson.Default.OrganizationBody, cancellation);

    public Task<IReadOnlyList<OrganizationBody>> ListAsync(CancellationToken cancellation) =>
        AllAsync(query => api.GetAsync("/api/organizations" + query, WireJson.Default.PageOrganizationBody, cancellation));

    public async Task<MemberBody> TransferAsync(string userId, CancellationToken cancellation) =>
        await api.SendAsync(HttpMethod.Post, await PathAsync("transfer-ownership", cancellation), new TransferOwnershipRequest { UserId = userId },
            WireJson.Default.TransferOwnershipRequest, WireJson.Default.MemberBody, cancellation);

    public async Task<IReadOnlyList<MemberBody>> MembersAsync(CancellationToken cancellation)
    {
        var path = await PathAsync("members", cancellation);
        return await AllAsync(query => api.GetAsync(path + query, WireJson.Default.PageMemberBody, cancellation));
    }

    /// <summary>By e-mail or user id.</summary>
    public async Task<MemberBody> MemberAsync(string who, CancellationToken cancellation) =>
        (await MembersAsync(cancellation)).FirstOrDefault(m => m.UserId == who || string.Equals(m.Email, who, StringComparison.OrdinalIgnoreCase))
        ?? throw new CliException($"there is no member '{Output.Text.Safe(who)}' in {Output.Text.Safe(me!.Organization.Name)}", "`tanvrit-compute members list` shows them");

    public async Task<MemberBody> SetRoleAsync(string userId, Role role, CancellationToken cancellation) =>
        await api.SendAsync(HttpMethod.Patch, await PathAsync("members/" + Uri.EscapeDataString(userId), cancellation), new UpdateMemberRequest { Role = role },
            WireJson.Default.UpdateMemberRequest, WireJson.Default.MemberBody, cancellation);

    public async Task RemoveAsync(string userId, CancellationToken cancellation) =>
        await api.DeleteAsync(await PathAsync("members/" + Uri.EscapeDataString(userId), cancellation), cancellation);

    public async Task<CreatedInvitation> InviteAsync(CreateInvitationRequest request, CancellationToken cancellation) =>
        await api.SendAsync(HttpMethod.Post, await PathAsync("invitations", cancellation), request,
            WireJson.Default.CreateInvitationRequest, WireJson.Default.CreatedInvitation, cancellation);

    public async Task<IReadOnlyList<InvitationBody>> InvitationsAsync(CancellationToken cancellation)
    {
        var path = await PathAsync("invitations", cancellation);
        return await AllAsync(query => api.GetAsync(path + query, WireJson.Default.PageInvitationBody, cancellation));
    }

    public async Task RevokeAsync(string invitationId, CancellationToken cancellation) =>
        await api.DeleteAsync(await PathAsync("invitations/" + Uri.EscapeDataString(invitationId), cancellation), cancellation);

    public Task<IdentityBody> AcceptAsync(AcceptInvitationRequest request, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, "/api/invitations/accept", request, WireJson.Default.AcceptInvitationRequest, WireJson.Default.IdentityBody, cancellation);

    private async Task<string> PathAsync(string rest, CancellationToken cancellation) => $"/api/organizations/{(await MeAsync(cancellation)).Organization.Id}/{rest}";

    private static async Task<IReadOnlyList<T>> AllAsync<T>(Func<string, Task<Page<T>>> read)
    {
        var all = new List<T>();
        string? cursor = null;
        do
        {
            var page = await read(Query.Of(("limit", WireLimits.MaxPageSize.ToString()), ("cursor", cursor)));
            all.AddRange(page.Items);
            cursor = page.NextCursor;
        }
        while (cursor is not null);
        return all;
    }
}
