using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Tanjiren.Protocol;

/// <summary>
/// The digest by which a repeated <c>complete</c> is told from a conflicting one: SHA-256 over the fields that a result asserts, one a line.
/// The preview is left out: it follows from the log. A result without response and usage has the digest that it always had; one with them begins with another word, so that no
/// detail, which stands last and may have lines, can look like the other form.
/// </summary>
public static class ResultDigest
{
    public static string Compute(string stepId, CompleteRequest result)
    {
        var text = string.Join('\n',
            "tanjiren-result-v1", stepId, result.LeaseGeneration, result.Outcome, result.Reason, result.ExitCode, result.Signal,
            result.DurationMs, result.FinalLogSeq, result.LogBytes, result.Truncated ? "truncated" : "whole", result.Detail);
        if (result.Response is not null || result.Usage is not null)
        {
            text = string.Join('\n', "tanjiren-result-v2", result.Response is { } response ? Hash(response) : "",
                result.Usage is { } usage ? JsonSerializer.Serialize(usage, WireJson.Default.TokenUsage) : "", text);
        }
        return Hash(text);
    }

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
