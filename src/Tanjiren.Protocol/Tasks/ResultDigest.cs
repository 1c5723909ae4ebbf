using System.Security.Cryptography;
using System.Text;

namespace Tanjiren.Protocol;

/// <summary>
/// The digest by which a repeated <c>complete</c> is told from a conflicting one: SHA-256 over the fields that a result asserts, one a line.
/// The preview is left out: it follows from the log.
/// </summary>
public static class ResultDigest
{
    public static string Compute(string stepId, CompleteRequest result)
    {
        var text = string.Join('\n',
            "tanjiren-result-v1", stepId, result.LeaseGeneration, result.Outcome, result.Reason, result.ExitCode, result.Signal,
            result.DurationMs, result.FinalLogSeq, result.LogBytes, result.Truncated ? "truncated" : "whole", result.Detail);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
    }
}
