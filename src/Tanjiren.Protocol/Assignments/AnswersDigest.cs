using System.Text.Json;

namespace Tanjiren.Protocol;

/// <summary>What became of one question, as far as a receipt says it: evidence stands in the artifact.</summary>
public sealed record SignedAnswer(string? Question, JsonElement? Answer, string? Problem);

/// <summary>The digest over the answers of an investigation, in the order of their questions (D-05).</summary>
public static class AnswersDigest
{
    /// <summary>SHA-256 in lower-case hex; null when there are none.</summary>
    public static string? Of(IEnumerable<SignedAnswer>? answers)
    {
        if (answers?.ToList() is not { Count: > 0 } all) return null;
        using var digest = new FieldDigest("tanjiren-answers-v1");
        foreach (var (question, answer, problem) in all)
        {
            digest.Add(question);
            // As this wire writes it: the same again, however often it was read and written on its way.
            digest.Add(answer is { } given ? JsonSerializer.Serialize(given, WireJson.Default.JsonElement) : null);
            digest.Add(answer is null ? problem : null);
        }
        return digest.Finish();
    }
}
