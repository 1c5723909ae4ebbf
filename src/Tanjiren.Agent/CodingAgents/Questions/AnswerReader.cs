using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents.Questions;

/// <summary>What was found in the words of a coding agent: an answer in the form of its question, or what is wrong, in words for it.</summary>
internal readonly record struct AnswerReading(JsonElement? Answer, IReadOnlyList<AnswerEvidence>? Evidence, string? Fault)
{
    public static AnswerReading Wrong(string fault) => new(null, null, fault);
}

/// <summary>
/// Finds an answer in prose. What counts is the last JSON object with the member <c>answer</c>, wherever it stands: agents put words before it and after it, fences around it, and examples before it.
/// Pure, and throws for nothing that is said.
/// </summary>
internal static class AnswerReader
{
    /// <summary>Places where an object may begin, the last ones: who writes a thousand objects after the answer has not answered.</summary>
    private const int MaxPlaces = 1000;

    private static readonly JsonReaderOptions Forgiving = new() { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip };

    public static AnswerReading Read(TaskQuestion question, string said)
    {
        if (LastAnswer(said) is not { } found) return AnswerReading.Wrong("there is no JSON object with the member \"answer\" in it");
        found.TryGetProperty("answer", out var answer);
        if (question.Form == AnswerForm.YesNo) answer = AsTruth(answer);
        var (evidence, fault) = EvidenceOf(found);
        fault ??= AnswerForms.Fault(question, answer, evidence);
        return fault is null ? new AnswerReading(answer, evidence, null) : AnswerReading.Wrong(fault);
    }

    private static JsonElement? LastAnswer(string said)
    {
        ReadOnlySpan<byte> text = Encoding.UTF8.GetBytes(said);
        JsonElement? found = null;
        var next = 0;
        foreach (var at in Places(text))
        {
            // Inside of an object that was read.
            if (at < next) continue;
            if (!TryRead(text[at..], out var element, out var length)) continue;
            next = at + length;
            if (element.TryGetProperty("answer", out _)) found = element;
        }
        return found;
    }

    /// <summary>Where a brace is followed by the first name of an object: most braces of code are not, and cost no attempt.</summary>
    private static Queue<int> Places(ReadOnlySpan<byte> text)
    {
        var places = new Queue<int>();
        for (var at = 0; at < text.Length; at++)
        {
            if (text[at] != '{') continue;
            var inside = text[(at + 1)..].TrimStart(" \t\r\n"u8);
            if (inside.Length == 0 || inside[0] != '"') continue;
            places.Enqueue(at);
            if (places.Count > MaxPlaces) places.Dequeue();
        }
        return places;
    }

    private static bool TryRead(ReadOnlySpan<byte> text, out JsonElement element, out int length)
    {
        try
        {
            var reader = new Utf8JsonReader(text, Forgiving);
            element = JsonElement.ParseValue(ref reader);
            length = (int)reader.BytesConsumed;
            // A name that is no text can't be compared with one, and throws when it is.
            _ = element.TryGetProperty("answer", out _);
            _ = element.TryGetProperty("evidence", out _);
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            (element, length) = (default, 0);
            return false;
        }
    }

    /// <summary>Models write yes and no as often as true and false; a turn more for that would be a waste.</summary>
    private static JsonElement AsTruth(JsonElement answer) => AnswerWord(answer) switch
    {
        "yes" or "true" => JsonSerializer.SerializeToElement(true, AnswerJson.Default.Boolean),
        "no" or "false" => JsonSerializer.SerializeToElement(false, AnswerJson.Default.Boolean),
        _ => answer,
    };

    private static string? AnswerWord(JsonElement answer) => Acp.AcpCodec.StringOf(answer)?.Trim().TrimEnd('.').ToLowerInvariant();

    private static (IReadOnlyList<AnswerEvidence> Evidence, string? Fault) EvidenceOf(JsonElement found)
    {
        if (!found.TryGetProperty("evidence", out var given) || given.ValueKind == JsonValueKind.Null) return ([], null);
        if (given.ValueKind != JsonValueKind.Array) return ([], "\"evidence\" must be an array of objects");
        var evidence = new List<AnswerEvidence>();
        foreach (var item in given.EnumerateArray())
        {
            if (Acp.AcpCodec.Read(item, AnswerJson.Default.AnswerEvidence) is not { } piece)
                return ([], $"\"evidence[{evidence.Count}]\" must be an object with file (text), line and endLine (numbers), command (text), note (text)");
            evidence.Add(piece);
        }
        return (evidence, null);
    }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, NumberHandling = JsonNumberHandling.AllowReadingFromString)]
[JsonSerializable(typeof(AnswerEvidence))]
[JsonSerializable(typeof(bool))]
internal sealed partial class AnswerJson : JsonSerializerContext;
