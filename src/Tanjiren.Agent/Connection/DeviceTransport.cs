using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Tanjiren.Agent.Keys;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Connection;

/// <summary>
/// Requests with a proof of this machine's key (RFC 9449): the server's nonce, the access token, and the one repeat that each of them may
/// need. Expected problems come back as <see cref="ReplyKind"/>; only bugs and a cancelled token throw.
/// </summary>
internal sealed partial class DeviceTransport : IDisposable
{
    private static readonly TimeSpan TokenSlack = TimeSpan.FromMinutes(1);

    private readonly HttpClient http;
    private readonly SuccessorKey? successor;
    private readonly string baseUrl;
    private readonly string? instanceId;
    private readonly AgentTimeouts timeouts;
    private readonly TimeProvider clock;
    private readonly ILogger log;
    private readonly SemaphoreSlim refreshing = new(1, 1);
    private volatile DeviceKey key;
    private readonly List<DeviceKey> adopted = [];
    private volatile string? nonce;
    private volatile AccessToken? token;
    private long lastClockNotice = long.MinValue;

    /// <remarks>
    /// The base URL is one that <see cref="ServerAddress.Parse"/> returned. Without an instance id (while pairing) no token is sent. The key stays the caller's; its
    /// successor, if there is one, takes its place when the server says so.
    /// </remarks>
    public DeviceTransport(string baseUrl, string? instanceId, ECDsa key, AgentTimeouts timeouts, TimeProvider clock, ILogger log, SuccessorKey? successor = null)
    {
        (this.baseUrl, this.instanceId, this.timeouts, this.clock, this.log, this.successor) = (baseUrl, instanceId, timeouts, clock, log, successor);
        this.key = new DeviceKey(key);
        http = new HttpClient(new SocketsHttpHandler
        {
            ConnectTimeout = timeouts.Connect,
            // A server behind a changed address is found again; an agent lives for months.
            PooledConnectionLifetime = TimeSpan.FromMinutes(15),
            // A proxy of the environment is for the way out, never for this machine itself.
            UseProxy = !ServerAddress.IsLoopback(new Uri(baseUrl)),
            AllowAutoRedirect = false, // a proof is bound to its URL
            UseCookies = false,
            ActivityHeadersPropagator = null, // TraceContext.Carry
            AutomaticDecompression = DecompressionMethods.None,
        })
        {
            Timeout = Timeout.InfiniteTimeSpan, // each request has its own
            MaxResponseContentBufferSize = WireLimits.MaxLogBodyBytes,
        };
    }

    /// <summary>Whether the last request got an answer of the server, any answer.</summary>
    public bool Connected { get; private set; }

    /// <summary>What a person should know about this machine's clock, or null.</summary>
    public string? ClockNotice { get; private set; }

    public string KeyFingerprint => key.Fingerprint;

    /// <summary>A statement by the present key.</summary>
    public string State(byte[] payload) => key.State(payload);

    /// <summary>A receipt by the present key, and which that is: another one may take its place before the receipt is taken.</summary>
    public (string Receipt, string KeyFingerprint) SignReceipt(byte[] payload)
    {
        var present = key;
        return (present.SignReceipt(payload), present.Fingerprint);
    }

    public async Task<Reply<T>> SendAsync<T>(HttpMethod method, string pathAndQuery, byte[] body, JsonTypeInfo<T> type, TimeSpan timeout,
        CancellationToken ct) where T : class
    {
        using var limit = new CancellationTokenSource(timeout, clock);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(ct, limit.Token);
        try
        {
            return await SendWithTokenAsync(method, pathAndQuery, body, type, both.Token);
        }
        catch (Exception e) when (IsUnanswered(e, ct))
        {
            Connected = false;
            LogUnanswered(method.Method, pathAndQuery, e.GetType().Name, e.Message);
            return new Reply<T>(ReplyKind.Unavailable, null, null, null);
        }
    }

    private static bool IsUnanswered(Exception e, CancellationToken ct) =>
        e is HttpRequestException or IOException || (e is OperationCanceledException && !ct.IsCancellationRequested);

    private async Task<Reply<T>> SendWithTokenAsync<T>(HttpMethod method, string pathAndQuery, byte[] body, JsonTypeInfo<T> type, CancellationToken ct)
        where T : class
    {
        if (instanceId is null) return (await SendWithNonceAsync(method, pathAndQuery, body, type, key, null, ct)).Reply;
        // Each repeats the request once at most: a token that has run out, and a key that was replaced, perhaps both after a long sleep.
        for (bool renewed = false, switched = false; ;)
        {
            var (current, used) = (token, key);
            if (current is null || current.IsStale(clock))
            {
                var refreshed = await RefreshAsync(current, ct);
                if (refreshed.Kind == ReplyKind.KeyRotated && !switched)
                {
                    if (await SwitchAsync(used, ct) is var whether && whether != ReplyKind.Ok) return refreshed.As<T>() with { Kind = whether };
                    switched = true;
                    continue;
                }
                if (!refreshed.IsOk) return refreshed.As<T>();
                current = refreshed.Value!;
            }
            var (reply, badToken) = await SendWithNonceAsync(method, pathAndQuery, body, type, current.Key, current.Value, ct);
            if (reply.Kind == ReplyKind.KeyRotated && !switched)
            {
                if (await SwitchAsync(current.Key, ct) is var whether && whether != ReplyKind.Ok) return reply with { Kind = whether };
                switched = true;
                continue;
            }
            if (!badToken || renewed) return reply;
            renewed = true;
            // Forget it only if nobody has replaced it meanwhile.
            Interlocked.CompareExchange(ref token, null, current);
        }
    }

    /// <summary>One caller refreshes, the others wait for it: a server that restarts is not met by one token request a loop.</summary>
    private async Task<Reply<AccessToken>> RefreshAsync(AccessToken? stale, CancellationToken ct)
    {
        await refreshing.WaitAsync(ct);
        try
        {
            if (token is { } fresh && fresh != stale && !fresh.IsStale(clock)) return new Reply<AccessToken>(ReplyKind.Ok, fresh, null, null);
            var reply = await FetchTokenAsync(key, ct);
            if (reply.IsOk) token = reply.Value;
            return reply;
        }
        finally
        {
            refreshing.Release();
        }
    }

    private async Task<Reply<AccessToken>> FetchTokenAsync(DeviceKey by, CancellationToken ct)
    {
        var (reply, _) = await SendWithNonceAsync(HttpMethod.Post, $"/api/device-trust/token?instance={instanceId}", [], WireJson.Default.DeviceTokenResponse, by, null, ct);
        // An unknown workstation must not read as "unknown step" to whoever needed the token; not_found is the server's own word (see ReplyRules).
        if (reply.Kind == ReplyKind.NotFound) return new Reply<AccessToken>(ReplyKind.KeyRevoked, null, reply.Problem, null);
        if (reply.Kind is ReplyKind.Refused or ReplyKind.TooLarge) return new Reply<AccessToken>(ReplyKind.Unavailable, null, reply.Problem, null);
        if (!reply.IsOk) return reply.As<AccessToken>();
        var life = TimeSpan.FromSeconds(reply.Value!.ExpiresInSeconds) - TokenSlack;
        return new Reply<AccessToken>(ReplyKind.Ok, new AccessToken(reply.Value.AccessToken, by, clock.GetTimestamp(), life, reply.Value.Approval), null, null);
    }

    /// <summary>
    /// The server says that another key counts. If that is the one that waits in the home, everything goes on with it: the same requests, the same session, the same
    /// leases. It is put into its place only after the server has taken it and shown its signed approval, so that a wrong word costs no key. Ok: go on; KeyRotated: only a person can help; anything else passes.
    /// </summary>
    private async Task<ReplyKind> SwitchAsync(DeviceKey used, CancellationToken ct)
    {
        await refreshing.WaitAsync(ct);
        DeviceKey? next = null;
        try
        {
            if (key != used) return ReplyKind.Ok; // another request was faster
            try
            {
                next = successor?.Load();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
            {
                // It is there, and a person may mend the disk or the file meanwhile: nothing that runs is killed for it.
                LogNotInPlace(e.Message);
                return ReplyKind.Unavailable;
            }
            if (next is null) return ReplyKind.KeyRotated;
            var reply = await FetchTokenAsync(next, ct);
            if (!reply.IsOk) return reply.Kind == ReplyKind.KeyRevoked ? ReplyKind.KeyRotated : reply.Kind;
            if (!IsApproved(reply.Value!.Approval, used.Fingerprint, next.Fingerprint)) return ReplyKind.Unavailable;
            (key, token) = (next, reply.Value);
            // Not disposed when the next one comes: a request that is under way may still sign with it.
            adopted.Add(next);
            next = null;
            LogSwitched(KeyFingerprint);
            Install();
            return ReplyKind.Ok;
        }
        finally
        {
            next?.Dispose();
            refreshing.Release();
        }
    }

    private bool IsApproved(string? approval, string old, string next)
    {
        try
        {
            if (successor!.IsApproved(approval, old, next)) return true;
            LogNotInPlace("the approval that came with it is not by the server that this machine was paired with, or of another change; the old one is kept");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNotInPlace(e.Message);
        }
        return false;
    }

    /// <summary>The key is on the disk, so one that can't be moved now is found again: by the key loop, or by the next start, which is told the same by the server.</summary>
    private void Install()
    {
        try
        {
            successor!.Install(KeyFingerprint);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            LogNotInPlace(e.Message);
        }
    }

    private async Task<(Reply<T> Reply, bool BadToken)> SendWithNonceAsync<T>(HttpMethod method, string pathAndQuery, byte[] body,
        JsonTypeInfo<T> type, DeviceKey by, string? accessToken, CancellationToken ct) where T : class
    {
        for (var attempt = 0; ; attempt++)
        {
            using var request = Sign(method, pathAndQuery, body, by, accessToken);
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseContentRead, ct);
            var content = await response.Content.ReadAsByteArrayAsync(ct);
            Connected = true;
            if (response.Headers.TryGetValues(DPoPProof.NonceHeader, out var nonces)) nonce = nonces.First();
            if (response.IsSuccessStatusCode)
            {
                ClockNotice = null;
                if (Read(content, type) is { } value) return (new Reply<T>(ReplyKind.Ok, value, null, null), false);
                LogUnreadable(method.Method, pathAndQuery, (int)response.StatusCode);
                return (new Reply<T>(ReplyKind.Unavailable, null, null, null), false);
            }
            var problem = Read(content, WireJson.Default.ProblemBody);
            if (attempt == 0 && problem?.Is(ErrorCode.UseDpopNonce) == true) continue;
            var kind = ReplyRules.Classify((int)response.StatusCode, problem);
            if (kind == ReplyKind.ClockRefused) TellClock(problem!.ClockOffsetSeconds!.Value);
            else if (problem is null && response.StatusCode < HttpStatusCode.InternalServerError) LogUnreadable(method.Method, pathAndQuery, (int)response.StatusCode);
            else LogProblem(method.Method, pathAndQuery, (int)response.StatusCode, problem?.Code, problem?.Detail ?? problem?.Title);
            return (new Reply<T>(kind, null, problem, RetryAfter(response)), problem?.Is(ErrorCode.InvalidToken) == true);
        }
    }

    private HttpRequestMessage Sign(HttpMethod method, string pathAndQuery, byte[] body, DeviceKey by, string? accessToken)
    {
        var url = baseUrl + pathAndQuery;
        var proof = by.Prove(method, url, body, clock.GetUtcNow(), accessToken, nonce);
        var request = new HttpRequestMessage(method, url) { Version = HttpVersion.Version11, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        TraceContext.Carry(request);
        request.Headers.TryAddWithoutValidation(DPoPProof.Header, proof);
        if (accessToken is not null) request.Headers.TryAddWithoutValidation("Authorization", "DPoP " + accessToken);
        if (body.Length > 0)
        {
            request.Content = new ByteArrayContent(body);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        }
        else if (method == HttpMethod.Post)
        {
            request.Content = new ByteArrayContent([]);
        }
        return request;
    }

    private static T? Read<T>(byte[] content, JsonTypeInfo<T> type) where T : class
    {
        try
        {
            return content.Length == 0 ? null : JsonSerializer.Deserialize(content, type);
        }
        catch (JsonException)
        {
            // Not our server's words: a proxy's page, say. The caller goes by the status.
            return null;
        }
    }

    private TimeSpan? RetryAfter(HttpResponseMessage response) =>
        response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - clock.GetUtcNow() is var wait && wait > TimeSpan.Zero ? wait : TimeSpan.Zero,
            _ => null,
        };

    /// <summary>Says it, and never corrects it: a proof with a time that this machine does not believe in would hide a broken clock from its owner.</summary>
    private void TellClock(double offsetSeconds)
    {
        var direction = offsetSeconds >= 0 ? "ahead of" : "behind";
        ClockNotice = $"This machine's clock is {Math.Abs(offsetSeconds):F0} s {direction} the server's; set it. Until then the server refuses this agent.";
        var now = clock.GetTimestamp();
        var last = Interlocked.Read(ref lastClockNotice);
        if (last != long.MinValue && clock.GetElapsedTime(last, now) < TimeSpan.FromMinutes(1)) return;
        Interlocked.Exchange(ref lastClockNotice, now);
        LogClock(ClockNotice);
    }

    public void Dispose()
    {
        http.Dispose();
        refreshing.Dispose();
        foreach (var own in adopted) own.Dispose();
    }

    /// <summary>Bound to the key that it was given for.</summary>
    private sealed record AccessToken(string Value, DeviceKey Key, long GotAt, TimeSpan Life, string? Approval)
    {
        public bool IsStale(TimeProvider clock) => clock.GetElapsedTime(GotAt) >= Life;
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Method} {Path} got no answer: {Type}: {Reason}")]
    private partial void LogUnanswered(string method, string path, string type, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Method} {Path} answered {Status} with something that is not this protocol; is a proxy in between?")]
    private partial void LogUnreadable(string method, string path, int status);

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Method} {Path} answered {Status} {Code}: {Detail}")]
    private partial void LogProblem(string method, string path, int status, string? code, string? detail);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Notice}")]
    private partial void LogClock(string notice);

    [LoggerMessage(Level = LogLevel.Information, Message = "An admin has approved the new key {Fingerprint}; going on with it")]
    private partial void LogSwitched(string fingerprint);

    [LoggerMessage(Level = LogLevel.Error, Message = "The new key can't be put into its place yet: {Reason}")]
    private partial void LogNotInPlace(string reason);
}
