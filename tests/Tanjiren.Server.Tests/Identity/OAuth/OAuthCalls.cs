using System.Net;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Identity.OAuth;

/// <summary>What an OAuth client says over the wire, for tests that play one.</summary>
internal static class OAuthCalls
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public static Task<HttpResponseMessage> PostFormAsync(this HttpClient client, string url, params (string Name, string Value)[] fields) =>
        client.PostAsync(url, new FormUrlEncodedContent(fields.Select(f => KeyValuePair.Create(f.Name, f.Value))), Cancelled);

    public static async Task<DeviceAuthorizationResponse> AskAsync(this HttpClient client, string machineName = "ann's laptop") =>
        await (await client.PostFormAsync("/oauth/device_authorization", ("client_id", OAuthNames.CliClient), ("machine_name", machineName))).BodyAsync<DeviceAuthorizationResponse>();

    public static Task<HttpResponseMessage> PollAsync(this HttpClient client, string deviceCode, string clientId = OAuthNames.CliClient) =>
        client.PostFormAsync("/oauth/token", ("grant_type", OAuthNames.DeviceCodeGrant), ("device_code", deviceCode), ("client_id", clientId));

    public static Task<HttpResponseMessage> RefreshAsync(this HttpClient client, string refreshToken, string clientId = OAuthNames.CliClient) =>
        client.PostFormAsync("/oauth/token", ("grant_type", OAuthNames.RefreshTokenGrant), ("refresh_token", refreshToken), ("client_id", clientId));

    public static Task<HttpResponseMessage> RevokeAsync(this HttpClient client, string token, string clientId = OAuthNames.CliClient) =>
        client.PostFormAsync("/oauth/revoke", ("token", token), ("client_id", clientId));

    public static async Task<OAuthTokenResponse> TokensAsync(this Task<HttpResponseMessage> response) => await (await response).BodyAsync<OAuthTokenResponse>();

    /// <summary>The refusal, which must be of RFC 6749 §5.2's form and kept by no cache.</summary>
    public static async Task<OAuthErrorBody> RefusedAsync(this Task<HttpResponseMessage> response, string error, HttpStatusCode status = HttpStatusCode.BadRequest)
    {
        var answer = await response;
        var text = await answer.Content.ReadAsStringAsync(Cancelled);
        answer.StatusCode.ShouldBe(status, text);
        answer.Content.Headers.ContentType!.MediaType.ShouldBe("application/json", text);
        answer.Headers.CacheControl!.NoStore.ShouldBeTrue();
        var body = JsonSerializer.Deserialize(text, WireJson.Default.OAuthErrorBody)!;
        body.Error.ShouldBe(error, text);
        body.ErrorDescription.ShouldNotBeNullOrEmpty();
        return body;
    }

    /// <summary>A whole device grant: asked for, approved by this person in a browser, fetched.</summary>
    public static async Task<OAuthTokenResponse> SignInDeviceAsync(this ServerFixture server, Browser person, string machineName = "ann's laptop", string? organizationId = null)
    {
        using var client = server.NewClient(null);
        var asked = await client.AskAsync(machineName);
        await person.ApproveAsync(asked.UserCode, organizationId);
        return await client.PollAsync(asked.DeviceCode).TokensAsync();
    }

    /// <summary>Whether a token is admitted.</summary>
    public static async Task<bool> IsAdmittedAsync(this ServerFixture server, string accessToken)
    {
        using var client = server.NewClient(accessToken);
        var answer = await client.GetAsync("/api/auth/me", Cancelled);
        if (answer.StatusCode == HttpStatusCode.OK) return true;
        await answer.ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidCredentials);
        return false;
    }

    public static Task<IReadOnlyList<string>> AuditAsync(this ServerFixture server, string action) => server.Database.ReadAsync(
        session => session.ListAsync<string>("SELECT subject || ' ' || coalesce(detail, '') FROM audit_events WHERE action = @action ORDER BY id", new { action }), Cancelled);
}
