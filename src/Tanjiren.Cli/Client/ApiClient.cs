using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>
/// Requests to the control plane with the bearer token (without one: with the cookie of a session that the first request opens), and its answers as wire records. A refusal is an <see cref="ApiException"/>, no answer an
/// <see cref="UnreachableException"/>. Redirects are not followed: they would carry the token to wherever they point.
/// </summary>
internal sealed class ApiClient : IDisposable
{
    private readonly HttpClient http;
    private readonly ClientTimeouts timeouts;
    private readonly TimeProvider clock;
    private readonly TokenKeeper? keeper;

    /// <param name="access">Where to, and with which token.</param>
    /// <param name="keeper">Keeps the token of a stored sign-in fresh; null when the token is what it is.</param>
    /// <param name="timeouts">How long to wait.</param>
    /// <param name="clock">The clock to wait by.</param>
    public ApiClient(ServerAccess access, TokenKeeper? keeper, ClientTimeouts timeouts, TimeProvider clock)
    {
        (Access, this.keeper, this.timeouts, this.clock) = (access, keeper, timeouts, clock);
        var byToken = access.Token.Length > 0;
        http = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = !byToken,
            ConnectTimeout = timeouts.Connect,
            ActivityHeadersPropagator = null, // TraceContext.Carry
        })
        {
            BaseAddress = access.Url,
            Timeout = Timeout.InfiniteTimeSpan,
        };
        if (byToken && keeper is null) http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", access.Token);
        else if (!byToken) http.DefaultRequestHeaders.Add("Origin", ServerAccessRules.Text(access.Url)); // the server takes a cookie from its own pages only
        http.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("tanvrit-compute", CommandTree.Version));
    }

    public ServerAccess Access { get; }

    public Task<T> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        SendAsync(new HttpRequestMessage(HttpMethod.Get, path), type, cancellation);

    public Task<T> SendAsync<TBody, T>(HttpMethod method, string path, TBody body, JsonTypeInfo<TBody> bodyType, JsonTypeInfo<T> type,
        CancellationToken cancellation, string? idempotencyKey = null)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(body, bodyType);
        return SendAsync(Request(method, path, json, idempotencyKey), type, cancellation);
    }

    /// <summary>Sends bytes as they are.</summary>
    public Task<T> PostBytesAsync<T>(string path, byte[] bytes, string contentType, string idempotencyKey, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        var request = Request(HttpMethod.Post, path, bytes, idempotencyKey);
        request.Content!.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType);
        return SendAsync(request, type, cancellation);
    }

    /// <summary>An answer that is bytes.</summary>
    public async Task<byte[]> GetBytesAsync(string path, CancellationToken cancellation)
    {
        using var timer = new CancellationTokenSource(timeouts.Request, clock);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellation);
        using var response = await ExchangeAsync(new HttpRequestMessage(HttpMethod.Get, path), HttpCompletionOption.ResponseContentRead, limited.Token, cancellation);
        return await response.Content.ReadAsByteArrayAsync(limited.Token);
    }

    public Task<T> PostAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        SendAsync(new HttpRequestMessage(HttpMethod.Post, path), type, cancellation);

    public Task DeleteAsync(string path, CancellationToken cancellation) => SendAsync(HttpMethod.Delete, path, cancellation);

    /// <summary>A request whose answer has no body.</summary>
    public async Task SendAsync(HttpMethod method, string path, CancellationToken cancellation)
    {
        using var timer = new CancellationTokenSource(timeouts.Request, clock);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellation);
        using var response = await ExchangeAsync(new HttpRequestMessage(method, path), HttpCompletionOption.ResponseContentRead,
            limited.Token, cancellation);
    }

    /// <summary>
    /// An open event stream, resumed after <paramref name="lastEventId"/>; reading it times out when the server falls silent. What answers with a page instead is no
    /// Tanjiren server: read as events it would only seem to end again and again.
    /// </summary>
    public async Task<Stream> OpenEventsAsync(string path, string? lastEventId, CancellationToken cancellation)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("text/event-stream"));
        if (!string.IsNullOrEmpty(lastEventId)) request.Headers.Add("Last-Event-ID", lastEventId);
        using var timer = new CancellationTokenSource(timeouts.Request, clock);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellation);
        var response = await ExchangeAsync(request, HttpCompletionOption.ResponseHeadersRead, limited.Token, cancellation);
        if (response.Content.Headers.ContentType?.MediaType is { } type && type != "text/event-stream")
            using (response) throw new ApiException(Foreign(Access.Url, response));
        var stream = await response.Content.ReadAsStreamAsync(cancellation);
        return new IdleTimeoutStream(stream, timeouts.StreamIdle, clock);
    }

    /// <summary>The body of an answer of any length, as it comes; reading it times out when the server falls silent.</summary>
    public async Task<Stream> OpenAsync(string path, CancellationToken cancellation)
    {
        using var timer = new CancellationTokenSource(timeouts.Request, clock);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellation);
        var response = await ExchangeAsync(new HttpRequestMessage(HttpMethod.Get, path), HttpCompletionOption.ResponseHeadersRead, limited.Token, cancellation);
        return new IdleTimeoutStream(await response.Content.ReadAsStreamAsync(cancellation), timeouts.StreamIdle, clock);
    }

    public void Dispose() => http.Dispose();

    private static HttpRequestMessage Request(HttpMethod method, string path, byte[] json, string? idempotencyKey)
    {
        var content = new ByteArrayContent(json);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        var request = new HttpRequestMessage(method, path) { Content = content };
        if (idempotencyKey is not null) request.Headers.Add("Idempotency-Key", idempotencyKey);
        return request;
    }

    private async Task<T> SendAsync<T>(HttpRequestMessage request, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        using var timer = new CancellationTokenSource(timeouts.Request, clock);
        using var limited = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellation);
        using var response = await ExchangeAsync(request, HttpCompletionOption.ResponseContentRead, limited.Token, cancellation);
        try
        {
            var value = await JsonSerializer.DeserializeAsync(await response.Content.ReadAsStreamAsync(limited.Token), type, limited.Token);
            return value ?? throw new ApiException(Foreign(Access.Url, response));
        }
        catch (JsonException)
        {
            // A 200 that is not ours: a captive portal, or another service on this port.
            throw new ApiException(Foreign(Access.Url, response));
        }
    }

    /// <summary>Once more with a new token when the server no longer takes the one that was stored: this machine's clock may think otherwise.</summary>
    private async Task<HttpResponseMessage> ExchangeAsync(HttpRequestMessage request, HttpCompletionOption completion,
        CancellationToken limited, CancellationToken cancellation)
    {
        if (keeper is null) return await ExchangeOnceAsync(request, completion, limited, cancellation);
        var token = await keeper.CurrentAsync(cancellation);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        try
        {
            return await ExchangeOnceAsync(request, completion, limited, cancellation);
        }
        catch (ApiException e) when (e.Problem.Is(ErrorCode.InvalidCredentials))
        {
            var again = new HttpRequestMessage(request.Method, request.RequestUri) { Content = request.Content };
            foreach (var (name, values) in request.Headers) again.Headers.TryAddWithoutValidation(name, values);
            again.Headers.Authorization = new AuthenticationHeaderValue("Bearer", await keeper.RefreshAsync(token, cancellation));
            return await ExchangeOnceAsync(again, completion, limited, cancellation);
        }
    }

    private async Task<HttpResponseMessage> ExchangeOnceAsync(HttpRequestMessage request, HttpCompletionOption completion,
        CancellationToken limited, CancellationToken cancellation)
    {
        TraceContext.Carry(request);
        HttpResponseMessage response;
        try
        {
            response = await http.SendAsync(request, completion, limited);
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw new UnreachableException(Access.Url, $"no answer within {timeouts.Request.TotalSeconds:0} s", sent: true, e);
        }
        catch (HttpRequestException e)
        {
            throw new UnreachableException(Access.Url, Reason(e), WasSent(e), e);
        }
        if (response.IsSuccessStatusCode) return response;
        using (response) throw await RefusalAsync(response, limited);
    }

    private async Task<ApiException> RefusalAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        var retryAfter = response.Headers.RetryAfter?.Delta;
        try
        {
            await using var body = await response.Content.ReadAsStreamAsync(cancellation);
            if (await JsonSerializer.DeserializeAsync(body, WireJson.Default.ProblemBody, cancellation) is { } problem)
                return new ApiException(problem, retryAfter);
        }
        catch (Exception e) when (e is JsonException or HttpRequestException or IOException)
        {
            // Not a problem document: a proxy answered, or the answer broke off. The status is all there is to tell.
        }
        return new ApiException(Foreign(Access.Url, response), retryAfter);
    }

    public static ProblemBody Foreign(Uri server, HttpResponseMessage response) => new()
    {
        Title = "Unexpected answer",
        Status = (int)response.StatusCode,
        Code = "unexpected_answer",
        Detail = $"{ServerAccessRules.Text(server)} answered {(int)response.StatusCode} {response.ReasonPhrase} in a form that is not a Tanjiren server's",
        Hint = "check --server, and any proxy in between",
    };

    public static bool WasSent(HttpRequestException e) => e.HttpRequestError is not
        (HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError
        or HttpRequestError.ProxyTunnelError);

    public static string Reason(HttpRequestException e) => e.HttpRequestError switch
    {
        HttpRequestError.NameResolutionError => "the host name is unknown",
        HttpRequestError.SecureConnectionError => "no secure connection (is the certificate trusted here?)",
        HttpRequestError.ConnectionError when e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionRefused } =>
            "connection refused",
        HttpRequestError.ConnectionError => "no connection",
        HttpRequestError.ResponseEnded => "the connection was closed before the answer",
        _ => "the connection broke",
    };
}
