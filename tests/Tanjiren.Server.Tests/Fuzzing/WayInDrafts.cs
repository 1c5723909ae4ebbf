using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>Valid requests of the routes by which people and their clients come in and go: invitations, the pages, OAuth, signing out.</summary>
internal sealed class WayInDrafts(Cast cast, FuzzClient client)
{
    /// <summary>Who sends it, where that is not simply somebody of the least role.</summary>
    public async Task ChooseSenderAsync(Draft draft, Random random)
    {
        switch (draft.Route.Name)
        {
            case "logout":
                draft.Person = random.Next(4) switch
                {
                    0 => WaysIn.ActingAs(await cast.WaysIn.SignInAsync(random)),
                    1 when cast.Cookies.Count > 1 => cast.Cookies[random.Next(cast.Cookies.Count)],
                    _ => (await cast.SpareTokenAsync()).Owner,
                };
                break;
            // By way of a client: then the workstation stands on a sign-in, and ends with it.
            case "registerInstanceAgain" when random.Next(2) == 0 && cast.WaysIn.ClientOf(Role.Admin, random) is { } registrar:
                draft.Person = registrar;
                break;
            // An admin who may be removed or lose the role: then their invitations are over too.
            case "createInvitation" when random.Next(3) == 0:
                draft.Person = await cast.SpareAdminAsync();
                break;
            // One in eight is still to sign in.
            case "submitDevice" when random.Next(8) > 0:
                draft.Person = await cast.CookieAsync(random);
                break;
        }
    }

    /// <summary>The part of a path that names a way in, or null.</summary>
    public async Task<string?> PathValueAsync(Draft draft, string collection, Random random)
    {
        switch (collection)
        {
            case "/api/organizations/{id}/invitations":
                return (await cast.WaysIn.InvitationAsync(random)).Id;
            case "/api/auth/grants":
                var signIn = await cast.WaysIn.SignInAsync(random);
                draft.Person = cast.People.Find(p => p.UserId == signIn.Owner.UserId) ?? signIn.Owner;
                return signIn.GrantId;
            default:
                return null;
        }
    }

    /// <summary>False: nothing is known here of its body.</summary>
    public async Task<bool> TryFillBodyAsync(Draft draft, Random random)
    {
        switch (draft.Route.Name)
        {
            case "createInvitation":
                draft.SetBody(new CreateInvitationRequest { Email = random.Next(3) == 0 ? cast.NewName() + "@example.test" : null, Role = (Role)random.Next(3), ExpiresInHours = random.Next(3) == 0 ? 720 : null });
                return true;
            case "acceptInvitation":
                draft.SetBody(await NewAcceptanceAsync(random));
                return true;
            case "authorizeDevice":
                Form(draft, ("client_id", OAuthNames.CliClient), ("machine_name", "the fuzzer's laptop"), ("scope", random.Next(2) == 0 ? OAuthNames.Scope : null));
                return true;
            case "token":
                await FillTokenAsync(draft, random);
                return true;
            case "revoke":
                var ended = await cast.WaysIn.SignInAsync(random);
                Form(draft, ("token", random.Next(2) == 0 ? ended.RefreshToken : ended.AccessToken), ("token_type_hint", random.Next(2) == 0 ? "access_token" : null), ("client_id", OAuthNames.CliClient));
                return true;
            case "submitDevice":
                await FillDeviceAsync(draft, random);
                return true;
            case "submitInvitation":
                var join = await NewAcceptanceAsync(random);
                var offer = await FetchAsync(draft, "/invitations?code=" + join.Code);
                Form(draft, ("csrf", offer["csrf"]), ("code", join.Code), ("email", join.Email), ("name", join.Name), ("password", join.Password));
                return true;
            case "submitSetup":
                var setup = await FetchAsync(draft, "/setup");
                Form(draft, ("csrf", setup["csrf"]), ("code", "c"), ("email", cast.NewName() + "@example.test"), ("password", ServerFixture.Password), ("organizationName", cast.NewName()));
                return true;
            default:
                return false;
        }
    }

    /// <summary>Pages that are only looked at: with their code, signed in half of the time.</summary>
    public async Task FillPageAsync(Draft draft, Random random)
    {
        var (name, value) = draft.Route.Template switch
        {
            "/device" => ("user_code", (await cast.WaysIn.WaitingDeviceAsync(random)).UserCode),
            "/invitations" => ("code", (await cast.WaysIn.InvitationAsync(random)).Code),
            _ => ("code", "c"),
        };
        if (random.Next(2) == 0) draft.Person = await cast.CookieAsync(random);
        draft.Query.Add((name, Uri.EscapeDataString(value)));
    }

    private async Task<AcceptInvitationRequest> NewAcceptanceAsync(Random random)
    {
        var invitation = await cast.WaysIn.InvitationAsync(random);
        // With an account: of somebody who left, who then comes back, or of somebody who is a member already.
        var known = random.Next(4) > 0 ? null : cast.WaysIn.Gone.Count > 0 && random.Next(4) > 0 ? cast.WaysIn.Gone[random.Next(cast.WaysIn.Gone.Count)] : cast.People[random.Next(cast.People.Count)].Email;
        return new AcceptInvitationRequest
        {
            Code = invitation.Code, Password = ServerFixture.Password,
            // By somebody else's address now and then, who may not.
            Email = (random.Next(8) > 0 ? invitation.Email : null) ?? known ?? cast.NewName() + "@example.test",
            Name = known is null ? "New here" : null,
        };
    }

    private async Task FillTokenAsync(Draft draft, Random random)
    {
        var kind = random.Next(12);
        if (kind == 0)
            Exchange(OAuthNames.DeviceCodeGrant, "device_code", (await cast.WaysIn.WaitingDeviceAsync(random)).DeviceCode);
        else if (kind < 3 && cast.WaysIn.Spent.Count > 0)
            Exchange(OAuthNames.RefreshTokenGrant, "refresh_token", cast.WaysIn.Spent[random.Next(cast.WaysIn.Spent.Count)]);
        else if (kind < 7)
            Exchange(OAuthNames.DeviceCodeGrant, "device_code", (await cast.WaysIn.ApprovedDeviceAsync(random)).DeviceCode);
        else
            Exchange(OAuthNames.RefreshTokenGrant, "refresh_token", (await cast.WaysIn.SignInAsync(random)).RefreshToken);

        void Exchange(string grant, string field, string secret) => Form(draft, ("grant_type", grant), (field, secret), ("client_id", OAuthNames.CliClient));
    }

    private async Task FillDeviceAsync(Draft draft, Random random)
    {
        var asked = await cast.WaysIn.WaitingDeviceAsync(random);
        var form = await FetchAsync(draft, "/device?user_code=" + asked.UserCode);
        if (draft.Person is null)
            Form(draft, ("csrf", form["csrf"]), ("user_code", asked.UserCode), ("action", "sign-in"), ("email", cast.People[random.Next(cast.People.Count)].Email), ("password", ServerFixture.Password));
        else
            Form(draft, ("csrf", form["csrf"]), ("user_code", asked.UserCode), ("action", random.Next(4) == 0 ? "deny" : "approve"), ("organization", cast.OrganizationId));
    }

    /// <summary>The hidden fields of the page that a person would have before them; the request is then sent as from there.</summary>
    private async Task<ILookup<string, string>> FetchAsync(Draft draft, string path)
    {
        var (fields, cookie) = await client.FetchFormAsync(path, draft.Person);
        if (cookie is not null) draft.Headers.Add(("Cookie", cookie));
        draft.Headers.Add(("Origin", client.Origin));
        return fields;
    }

    private static void Form(Draft draft, params (string Name, string? Value)[] fields) =>
        draft.Body = new JsonObject([.. fields.Where(f => f.Value is not null).Select(f => (Json.Quote(f.Name), Json.Text(f.Value!)))]);

    private static void Form(Draft draft, (string Name, IEnumerable<string> Hidden) csrf, params (string Name, string? Value)[] fields) =>
        Form(draft, [(csrf.Name, csrf.Hidden.FirstOrDefault()), .. fields]);
}
