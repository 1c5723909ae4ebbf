using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The server refused in OAuth's own form. <see cref="Error"/> is a code of <see cref="OAuthErrors"/>.</summary>
internal sealed class OAuthException(string error, string? description) : Exception(description ?? error)
{
    public string Error { get; } = error;
}

/// <summary>
/// The OAuth routes, as the built-in public client. Requests are forms, without a token in the header; a refusal is an <see cref="OAuthException"/>, anything that
/// is not OAuth's an <see cref="ApiException"/>, no answer an <see cref="UnreachableException"/>.
/// </summary>
internal sealed class OAuthApi : IDisposable
{
    private readonly HttpClient http;
    private readonly Uri server;
    private readonly ClientTimeouts timeouts;
    private readonly TimeProvider clock;

    public OAuthApi(Uri server, ClientTimeouts timeouts, TimeProvider clock)
    {
        (this.server, this.timeouts, this.clock) = (server, timeouts, clock);
        http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false, ConnectTimeout = timeouts.Connect })
        {
            BaseAddress = server,
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    public Task<DeviceAuthorizationResponse> AuthorizeDeviceAsync(string machineName, CancellationToken cancellation) => SendAsync(
        "/oauth/device_authorization", WireJson.Default.DeviceAuthorizationResponse, cancellation, (OAuthNames.MachineName, machineName), ("scope", OAuthNames.Scope))!;

    public Task<OAuthTokenResponse> PollAsync(string deviceCode, CancellationToken cancellation) => SendAsync(
        "/oauth/token", WireJson.Default.OAuthTokenResponse, cancellation, ("grant_type", OAuthNames.DeviceCodeGrant), ("device_code", deviceCode))!;

    public Task<OAuthTokenResponse> RefreshAsync(string refreshToken, CancellationToken cancellation) => SendAsync(
        "/oauth/token", WireJson.Default.OAuthTokenResponse, cancellation, ("grant_type", OAuthNames.RefreshTokenGrant), ("refresh_token", refreshToken))!;

    public Task RevokeAsync(string token, CancellationToken cancellation) => SendAsync<OAuthTokenResponse>(
        "/oauth/revoke", null, cancellation, ("token", token), ("token_type_hint", "refresh_token"));

    public void Dispose() => http.Dispose();

    private async Task<T?> SendAsync<T>(string path, JsonTypeInfo<T>? type, CancellationToken cancellation, params (string Name, string Value)[] fields) where T : class
    {
        using var timer = new CancellationTokenSource(timeouts.SignIn, clock);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellation);
        var form = new FormUrlEncodedContent(fields.Append(("client_id", OAuthNames.CliClient)).Select(f => KeyValuePair.Create(f.Item1, f.Item2)));
        HttpResponseMessage response;
        byte[] body;
        try
        {
            response = await http.PostAsync(path, form, limited.Token);
            body = await response.Content.ReadAsByteArrayAsync(limited.Token);
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw new UnreachableException(server, $"no answer within {timeouts.SignIn.TotalSeconds:0} s", sent: true, e);
        }
        catch (HttpRequestException e)
        {
            throw new UnreachableException(server, ApiClient.Reason(e), ApiClient.WasSent(e), e);
        }
        using (response)
        {
            if (response.IsSuccessStatusCode) return type is null ? null : Read(body, type) ?? throw Foreign(response);
            if (response.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.Unauthorized && Read(body, WireJson.Default.OAuthErrorBody) is { } refusal)
                throw new OAuthException(refusal.Error, refusal.ErrorDescription);
            throw Read(body, WireJson.Default.ProblemBody) is { } problem ? new ApiException(problem, response.Headers.RetryAfter?.Delta) : Foreign(response);
        }
    }

    private static T? Read<T>(byte[] body, JsonTypeInfo<T> type) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(body, type);
        }
        catch (JsonException)
        {
            return null; // not of this form; whoever asks tries another
        }
    }

    private ApiException Foreign(HttpResponseMessage response) => new(ApiClient.Foreign(server, response));
}
