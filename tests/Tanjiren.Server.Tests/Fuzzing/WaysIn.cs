using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Identity.OAuth;
using Tanjiren.Server.Tests.Identity.OAuth;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>An invitation that nobody has accepted yet.</summary>
internal sealed record OpenInvitation(string Id, string Code, string? Email);

/// <summary>A device authorization; <paramref name="Approver"/> is null until somebody has approved it.</summary>
internal sealed record AskedDevice(string DeviceCode, string UserCode, Person? Approver = null);

/// <summary>A client's sign-in with its newest tokens. <paramref name="Owner"/>: for whom it acts.</summary>
internal sealed record ClientSignIn(string GrantId, string AccessToken, string RefreshToken, Person Owner);

/// <summary>
/// The ways into one organization that are open now: invitations, device codes that wait or were approved, sign-ins of clients. What is used up is replaced, in
/// the name of the founder and by nothing that a request of the fuzzer can take away.
/// </summary>
internal sealed class WaysIn(ServerFixture server, string organizationId, HttpClient founder, Person person) : IDisposable
{
    private readonly HttpClient _client = server.NewClient(null);
    private readonly List<OpenInvitation> _invitations = [];
    private readonly List<AskedDevice> _waiting = [];
    private readonly List<AskedDevice> _approved = [];
    private readonly List<ClientSignIn> _signIns = [];

    /// <summary>Refresh tokens that must not work again: those that were exchanged, and those of sign-ins that have ended.</summary>
    public List<string> Spent { get; } = [];

    /// <summary>Addresses of accounts that are in the organization no more.</summary>
    public List<string> Gone { get; } = [];

    public async Task<OpenInvitation> InvitationAsync(Random random)
    {
        if (_invitations.Count == 0)
        {
            var made = await (await founder.PostJsonAsync($"/api/organizations/{organizationId}/invitations", new CreateInvitationRequest { Role = (Role)random.Next(3) })).BodyAsync<CreatedInvitation>();
            _invitations.Add(Read(made));
        }
        return _invitations[random.Next(_invitations.Count)];
    }

    /// <summary>One that nobody has decided.</summary>
    public async Task<AskedDevice> WaitingDeviceAsync(Random random)
    {
        if (_waiting.Count == 0) _waiting.Add(await AskAsync());
        return _waiting[random.Next(_waiting.Count)];
    }

    public async Task<AskedDevice> ApprovedDeviceAsync(Random random)
    {
        if (_approved.Count == 0)
        {
            var asked = await AskAsync();
            // Past the page, which lets one address look at no more codes than a fast machine plays in a long run.
            var caller = new Caller(person.UserId, person.Email, organizationId, "", Role.Owner, "", null);
            (await server.App.Services.GetRequiredService<DeviceCodes>().ApproveAsync(caller, UserCode.Normalize(asked.UserCode)!, organizationId, TestContext.Current.CancellationToken))
                .ShouldBe(DeviceDecision.Applied);
            _approved.Add(asked with { Approver = person });
        }
        return _approved[random.Next(_approved.Count)];
    }

    public async Task<ClientSignIn> SignInAsync(Random random)
    {
        while (_signIns.Count == 0)
        {
            var device = await ApprovedDeviceAsync(random);
            _approved.Remove(device);
            var poll = await _client.PollAsync(device.DeviceCode);
            if (!poll.IsSuccessStatusCode) continue; // its approver was removed since, and the sign-in with them
            var tokens = await poll.BodyAsync<OAuthTokenResponse>();
            _signIns.Add(new ClientSignIn(tokens.GrantId!, tokens.AccessToken, tokens.RefreshToken, device.Approver!));
        }
        return _signIns[random.Next(_signIns.Count)];
    }

    /// <summary>Somebody of this role by way of a client, or null.</summary>
    public Person? ClientOf(Role least, Random random) =>
        _signIns.Where(s => s.Owner.Role >= least).ToList() is { Count: > 0 } able && able[random.Next(able.Count)] is { } one ? ActingAs(one) : null;

    public static Person ActingAs(ClientSignIn signIn) => signIn.Owner with { Secret = signIn.AccessToken, IsCookie = false };

    /// <summary>What an answer tells of the ways in. <paramref name="body"/> is undefined when it was no JSON.</summary>
    public void Learn(Draft draft, Answer answer, JsonElement body)
    {
        switch (draft.Route.Name)
        {
            case "createInvitation":
                Cast.Note(_invitations, Read(body.Deserialize(WireJson.Default.CreatedInvitation)!));
                break;
            case "acceptInvitation" or "submitInvitation":
                _invitations.RemoveAll(i => i.Code == Sent(draft, "code") || (i.Email is not null && i.Email == Sent(draft, "email")?.Trim().ToLowerInvariant()));
                break;
            case "revokeInvitation":
                _invitations.RemoveAll(i => i.Id == Named(draft, "invitationId"));
                break;
            case "authorizeDevice":
                var asked = body.Deserialize(WireJson.Default.DeviceAuthorizationResponse)!;
                Cast.Note(_waiting, new AskedDevice(asked.DeviceCode, asked.UserCode));
                break;
            case "submitDevice" when _waiting.Find(d => d.UserCode == Sent(draft, "user_code")) is { } decided && Sent(draft, "action") != "sign-in":
                _waiting.Remove(decided);
                if (answer.Text.Contains("the device is signed in", StringComparison.Ordinal)) Cast.Note(_approved, decided with { Approver = draft.Person });
                break;
            case "token":
                LearnTokens(draft, body.Deserialize(WireJson.Default.OAuthTokenResponse)!);
                break;
            case "revoke":
                End(s => s.RefreshToken == Sent(draft, "token") || s.AccessToken == Sent(draft, "token"));
                break;
            case "revokeGrant":
                End(s => s.GrantId == Named(draft, "id"));
                break;
            case "logout":
                Forget(draft.Person!.Secret);
                break;
        }
    }

    /// <summary>A refusal: what was asked with does not work any more, or was changed; it is not trusted again.</summary>
    public void LearnRefusal(Draft draft, Answer answer)
    {
        if (draft.Changes.Count > 0 || !answer.Text.Contains(OAuthErrors.InvalidGrant, StringComparison.Ordinal)) return;
        _approved.RemoveAll(d => d.DeviceCode == Sent(draft, "device_code"));
        End(s => s.RefreshToken == Sent(draft, "refresh_token"));
    }

    /// <summary>This access token is refused.</summary>
    public void Forget(string accessToken) => End(s => s.AccessToken == accessToken);

    public void Dispose() => _client.Dispose();

    private void LearnTokens(Draft draft, OAuthTokenResponse tokens)
    {
        var owner = _approved.Find(d => d.DeviceCode == Sent(draft, "device_code"))?.Approver ?? _signIns.Find(s => s.GrantId == tokens.GrantId)?.Owner;
        _approved.RemoveAll(d => d.DeviceCode == Sent(draft, "device_code"));
        _signIns.RemoveAll(s => s.GrantId == tokens.GrantId);
        if (Sent(draft, "refresh_token") is { } exchanged) Cast.Note(Spent, exchanged);
        if (owner is not null) Cast.Note(_signIns, new ClientSignIn(tokens.GrantId!, tokens.AccessToken, tokens.RefreshToken, owner));
    }

    private void End(Predicate<ClientSignIn> which)
    {
        foreach (var ended in _signIns.FindAll(which)) Cast.Note(Spent, ended.RefreshToken);
        _signIns.RemoveAll(which);
    }

    private async Task<AskedDevice> AskAsync()
    {
        var asked = await _client.AskAsync();
        return new AskedDevice(asked.DeviceCode, asked.UserCode);
    }

    private static OpenInvitation Read(CreatedInvitation made) => new(made.Invitation.Id, made.Link[(made.Link.IndexOf("code=", StringComparison.Ordinal) + 5)..], made.Invitation.Email);

    private static string? Sent(Draft draft, string field) => (draft.Body?[field] as JsonLeaf)?.Words;

    private static string Named(Draft draft, string part) => Uri.UnescapeDataString(draft.Path[part]);
}
