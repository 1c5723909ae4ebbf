using System.Security.Cryptography;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Keys;

/// <summary>A private key while it is used, with its public half. It signs for one thread at a time: an <see cref="ECDsa"/> is not safe for two.</summary>
internal sealed class DeviceKey(ECDsa key) : IDisposable
{
    private readonly Lock signing = new();

    public Jwk Public { get; } = Jwk.FromKey(key);

    public string Fingerprint => field ??= Public.Thumbprint();

    public string Prove(HttpMethod method, string url, byte[] body, DateTimeOffset now, string? accessToken, string? nonce)
    {
        lock (signing) return DPoPProof.Create(key, Public, method.Method, url, body, now, accessToken, nonce);
    }

    public string State(byte[] payload)
    {
        lock (signing) return KeyStatement.Sign(key, payload);
    }

    public string SignReceipt(byte[] payload)
    {
        lock (signing) return Receipt.Sign(key, payload);
    }

    public void Dispose() => key.Dispose();
}
