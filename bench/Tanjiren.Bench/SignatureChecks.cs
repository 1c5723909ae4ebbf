using System.Security.Cryptography;

namespace Tanjiren.Bench;

/// <summary>ES256 verifications of the same runtime and nothing else: what a server that did only that would reach on all its processors.</summary>
internal sealed class SignatureChecks : IThroughputContender
{
    private readonly byte[] _data = RandomNumberGenerator.GetBytes(400); // about the length of a proof
    private readonly ECDsa _signer = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    public string Name => "ES256 verifications, all processors";

    public string Measures => "ECDsa.VerifyData over 400 bytes with an imported P-256 key, one key and one thread for each processor";

    public async Task<double> RunAsync(int items, CancellationToken cancellation)
    {
        var threads = Environment.ProcessorCount;
        var signature = _signer.SignData(_data, HashAlgorithmName.SHA256);
        var keys = Enumerable.Range(0, threads).Select(_ => ECDsa.Create(_signer.ExportParameters(includePrivateParameters: false))).ToArray();
        try
        {
            return await SharedWork.PerSecondAsync(items, threads, worker =>
                keys[worker].VerifyData(_data, signature, HashAlgorithmName.SHA256) ? Task.CompletedTask : throw new InvalidOperationException("a good signature was refused"));
        }
        finally
        {
            foreach (var key in keys) key.Dispose();
        }
    }

    public ValueTask DisposeAsync()
    {
        _signer.Dispose();
        return ValueTask.CompletedTask;
    }
}
