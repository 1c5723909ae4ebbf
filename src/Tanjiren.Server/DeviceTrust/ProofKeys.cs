using System.Collections.Concurrent;
using System.Security.Cryptography;
using Tanjiren.Protocol;

namespace Tanjiren.Server.DeviceTrust;

/// <summary>
/// Verifies ES256 signatures with keys that are imported once: an import costs twice a verification. A key in use by one request is not in the cache
/// meanwhile, because <see cref="ECDsa"/> promises nothing about threads; a second request of the same workstation imports its own.
/// </summary>
internal sealed class ProofKeys(DeviceTrustOptions options) : IDisposable
{
    private readonly ConcurrentDictionary<string, ECDsa> _idle = new();

    /// <param name="key">A public P-256 key by its form.</param>
    /// <param name="thumbprint">Of the key.</param>
    /// <param name="keep">Whether the key is known to belong to a workstation. Strangers' keys are not kept: they would push ours out.</param>
    /// <param name="data">What was signed.</param>
    /// <param name="signature">r and s, 32 bytes each.</param>
    public bool Verify(Jwk key, string thumbprint, bool keep, byte[] data, byte[] signature)
    {
        if (signature.Length != 64) return false;
        if (!_idle.TryRemove(thumbprint, out var imported))
        {
            try
            {
                imported = key.Import();
            }
            catch (CryptographicException)
            {
                return false; // not a point of the curve
            }
        }
        var good = imported.VerifyData(data, signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation);
        if (!keep || !good || _idle.Count >= options.CachedKeys || !_idle.TryAdd(thumbprint, imported)) imported.Dispose();
        return good;
    }

    public void Dispose()
    {
        foreach (var key in _idle.Values) key.Dispose();
        _idle.Clear();
    }
}
