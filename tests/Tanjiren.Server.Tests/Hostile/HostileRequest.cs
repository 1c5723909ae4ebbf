using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Hostile;

/// <summary>One row: what is tried, and how it is refused.</summary>
/// <param name="Name">In the words of whoever tries it.</param>
/// <param name="Status">Of the refusal.</param>
/// <param name="Code">Of the problem.</param>
/// <param name="Send">Does it, and returns the answer that must be the refusal.</param>
internal sealed record HostileRequest(string Name, HttpStatusCode Status, ErrorCode Code, Func<HostileBench, Task<HttpResponseMessage>> Send)
{
    /// <summary>The error name of RFC 9449 or RFC 6750 in <c>WWW-Authenticate: DPoP</c>; empty: that challenge without an error; null: not about a proof.</summary>
    public string? Error { get; init; }

    /// <summary>The error of RFC 6749 §5.2 or RFC 8628 §3.5 in the body; such a refusal is no problem, and <see cref="Code"/> says nothing.</summary>
    public string? OAuthError { get; init; }

    /// <summary>How often the route is rightly served on the way: the first use of what is then replayed.</summary>
    public int Served { get; init; }

    /// <summary>Moves the clock, restarts the server or uses up limits: it gets a bench of its own.</summary>
    public bool Alone { get; init; }

    /// <summary>What else the refusal must tell.</summary>
    public Action<ProblemBody>? Tells { get; init; }
}

/// <summary>A good request to the bench's route, taken apart, for a row to spoil one part of. What is not set follows from the rest.</summary>
internal sealed record ProofParts(HostileBench Bench)
{
    public HttpMethod Method { get; init; } = HttpMethod.Post;
    public string Url { get; init; } = Bench.Url;
    public byte[] Body { get; init; } = Bench.Bytes;
    public ProofHeader Header { get; init; } = Bench.Device.Header();
    public ProofClaims Claims { get; init; } = Bench.Device.Claims(HttpMethod.Post, Bench.Url, Bench.Bytes);
    public ECDsa Key { get; init; } = Bench.Device.Key;
    public string Token { get; init; } = Bench.Device.AccessToken;

    /// <summary>Signs the JWS's input; absent: ES256 with the key.</summary>
    public Func<byte[], byte[]>? Signer { get; init; }

    public string[]? Proofs { get; init; }
    public string[]? Authorizations { get; init; }

    public string Proof()
    {
        if (Signer is null) return DeviceClient.Sign(Header, Claims, Key);
        var input = Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(Header, WireJson.Default.ProofHeader)) + "."
            + Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(Claims, WireJson.Default.ProofClaims));
        return input + "." + Base64Url.EncodeToString(Signer(Encoding.ASCII.GetBytes(input)));
    }

    public Task<HttpResponseMessage> SendAsync() => Bench.Device.SendRawAsync(Method, Url, Body, Proofs ?? [Proof()], Authorizations ?? ["DPoP " + Token]);
}
