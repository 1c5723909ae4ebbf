using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests;

/// <summary>
/// The test's side of DPoP: one workstation with one key. <see cref="SendAsync"/> does what a well-behaved agent does, one retry with the server's
/// nonce included; the other members build requests that are wrong in exactly one way.
/// </summary>
internal sealed class DeviceClient(string serverUrl, TimeProvider clock) : IDisposable
{
    private readonly HttpClient _client = new(new DeclaredAnswers());

    public ECDsa Key { get; init; } = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    public Jwk PublicKey => field ??= Jwk.FromKey(Key);
    public string InstanceId { get; set; } = "";
    public string AccessToken { get; set; } = "";
    public string? Nonce { get; set; }
    /// <summary>Sent with every request that <see cref="Url"/> builds, once a session is open.</summary>
    public string? SessionId { get; set; }
    /// <summary>What the server gave out at the pairing.</summary>
    public Jwk? ServerKey { get; set; }

    /// <summary>The same workstation and session with a key of its own and no token: what the agent is after a rotation.</summary>
    public DeviceClient WithNewKey() => new(serverUrl, clock) { InstanceId = InstanceId, ServerKey = ServerKey, SessionId = SessionId };

    /// <summary>Another client with the same key and token: a copy of the agent's home.</summary>
    public DeviceClient Clone(TimeProvider? otherClock = null) =>
        new(serverUrl, otherClock ?? clock) { Key = Key, InstanceId = InstanceId, AccessToken = AccessToken, Nonce = Nonce, SessionId = SessionId, ServerKey = ServerKey };

    public async Task<PairResponse> PairAsync(string code)
    {
        var paired = await (await TryPairAsync(code)).BodyAsync<PairResponse>();
        (InstanceId, AccessToken, ServerKey) = (paired.InstanceId, paired.AccessToken, paired.ServerKeys[0]);
        return paired;
    }

    public Task<HttpResponseMessage> TryPairAsync(string code) =>
        SendAsync(HttpMethod.Post, serverUrl + "/api/device-trust/pair", new PairRequest { Code = code, HostName = "test-host" }, withToken: false);

    public Task<HttpResponseMessage> RefreshAsync() =>
        SendAsync<object?>(HttpMethod.Post, $"{serverUrl}/api/device-trust/token?instance={InstanceId}", null, withToken: false);

    /// <summary>The absolute URL of one of the workstation's routes (<c>heartbeat</c> …) or of any path, with the session.</summary>
    public string Url(string route, string? query = null)
    {
        var path = route.StartsWith('/') ? route : $"/api/instances/{InstanceId}/{route}";
        var parameters = string.Join('&', new[] { SessionId is null ? null : "session=" + SessionId, query }.Where(p => p is not null));
        return serverUrl + path + (parameters.Length > 0 ? "?" + parameters : "");
    }

    public Task<HttpResponseMessage> PostAsync<T>(string route, T body) => SendAsync(HttpMethod.Post, Url(route), body);

    public Task<HttpResponseMessage> GetAsync(string route, string? query = null) => SendAsync<object?>(HttpMethod.Get, Url(route, query), null);

    /// <summary>Sends with a fresh proof, and once more when the server asks for its nonce.</summary>
    public async Task<HttpResponseMessage> SendAsync<T>(HttpMethod method, string url, T body, bool withToken = true)
    {
        var bytes = body is null ? [] : JsonSerializer.SerializeToUtf8Bytes(body, WireJson.Default.Options.GetTypeInfo(typeof(T)));
        for (var attempt = 1; ; attempt++)
        {
            var proof = DPoPProof.Create(Key, PublicKey, method.Method, url, bytes, clock.GetUtcNow(), withToken ? AccessToken : null, Nonce);
            var response = await SendRawAsync(method, url, bytes, [proof], withToken ? ["DPoP " + AccessToken] : []);
            if (attempt == 1 && response.StatusCode == HttpStatusCode.Unauthorized && await IsNonceRequestAsync(response)) continue;
            return response;
        }
    }

    /// <summary>Sends exactly this, and remembers the nonce of the answer.</summary>
    public async Task<HttpResponseMessage> SendRawAsync(HttpMethod method, string url, byte[] body, string[] proofs, string[] authorizations)
    {
        using var request = new HttpRequestMessage(method, url);
        if (body.Length > 0)
        {
            request.Content = new ByteArrayContent(body);
            request.Content.Headers.ContentType = new("application/json");
            // A refusal of a large body comes before the body; whoever goes on sending may lose it to the closed connection.
            request.Headers.ExpectContinue = body.Length > WireLimits.MaxBodyBytes;
        }
        foreach (var proof in proofs) request.Headers.TryAddWithoutValidation(DPoPProof.Header, proof);
        foreach (var authorization in authorizations) request.Headers.TryAddWithoutValidation("Authorization", authorization);
        var response = await _client.SendAsync(request, TestContext.Current.CancellationToken);
        if (response.Headers.TryGetValues(DPoPProof.NonceHeader, out var nonces)) Nonce = nonces.Single();
        return response;
    }

    /// <summary>The claims of a good proof for this request, for a test to change one of.</summary>
    public ProofClaims Claims(HttpMethod method, string url, byte[] body) => new()
    {
        Jti = Guid.NewGuid().ToString("n"), Htm = method.Method, Htu = url, Iat = clock.GetUtcNow().ToUnixTimeSeconds(),
        Ath = DPoPProof.Digest(Encoding.ASCII.GetBytes(AccessToken)), Nonce = Nonce, Bsh = DPoPProof.Digest(body),
    };

    public ProofHeader Header() => new() { Typ = DPoPProof.Type, Alg = DPoPProof.Algorithm, Jwk = PublicKey };

    /// <summary>A compact JWS of this header and these claims, signed by <paramref name="key"/>, or with an empty signature.</summary>
    public static string Sign(ProofHeader header, ProofClaims claims, ECDsa? key)
    {
        var input = Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(header, WireJson.Default.ProofHeader)) + "."
            + Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(claims, WireJson.Default.ProofClaims));
        var signature = key?.SignData(Encoding.ASCII.GetBytes(input), HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation) ?? [];
        return input + "." + Base64Url.EncodeToString(signature);
    }

    public void Dispose() => _client.Dispose();

    private static async Task<bool> IsNonceRequestAsync(HttpResponseMessage response)
    {
        await response.Content.LoadIntoBufferAsync();
        var problem = JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(), WireJson.Default.ProblemBody);
        return problem?.Is(ErrorCode.UseDpopNonce) == true;
    }
}
