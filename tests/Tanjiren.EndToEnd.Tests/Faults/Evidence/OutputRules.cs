using System.Security.Cryptography;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>What is stored of a step's output, against what its process wrote. Pure.</summary>
internal static class OutputRules
{
    /// <summary>The bytes of the generation whose result was taken, in order; the agent's own words are not the process's.</summary>
    public static byte[] Stored(StepBody step, IEnumerable<LogChunkBody> chunks) =>
        [.. chunks.Where(chunk => chunk.LeaseGeneration == step.LeaseGeneration - 1 && chunk.Stream == LogStream.Stdout).OrderBy(chunk => chunk.Seq).SelectMany(chunk => chunk.Data)];

    /// <summary>Null when they are the same, byte for byte.</summary>
    public static string? Difference(StepBody step, byte[] written, byte[] stored)
    {
        var (one, other) = (SHA256.HashData(written), SHA256.HashData(stored));
        if (one.AsSpan().SequenceEqual(other))
            return null;
        return $"{step.Id}, generation {step.LeaseGeneration - 1}: its process wrote {written.Length} bytes (sha256 {Convert.ToHexStringLower(one)}), the server has {stored.Length} "
            + $"({Convert.ToHexStringLower(other)}); the first {written.AsSpan().CommonPrefixLength(stored)} are the same";
    }

    /// <summary>No sequence number is missing or there twice, in any generation.</summary>
    public static IReadOnlyList<string> Holes(IEnumerable<LogChunkBody> chunks) =>
        [.. chunks.GroupBy(chunk => (chunk.StepId, chunk.LeaseGeneration))
            .Where(one => !one.Select(chunk => chunk.Seq).Order().SequenceEqual(Enumerable.Range(1, one.Count()).Select(seq => (long)seq)))
            .Select(one => $"{one.Key.StepId}, generation {one.Key.LeaseGeneration}: the stored chunks are {string.Join(' ', one.Select(chunk => chunk.Seq).Order())}")];
}
