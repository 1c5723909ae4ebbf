using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

using Tanjiren.Protocol;

namespace Tanjiren.Cli.Output;

/// <summary>What became of a question, as lines for people. They come from models: none can repaint a screen.</summary>
internal static class AnswerWords
{
    private static readonly JsonWriterOptions Indented = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <param name="answer">Null: nothing came back.</param>
    public static IEnumerable<string> Lines(StepAnswerBody? answer) => answer switch
    {
        null => ["(nothing yet)"],
        { Answer: { } given } => [.. Of(given).ReplaceLineEndings("\n").TrimEnd('\n').Split('\n').Select(Text.Safe), $"({Evidence(answer)}; {answer.ArtifactId})"],
        { AnswerLeftOut: true } => [$"(too much to show with the others: `artifacts get {answer.ArtifactId}` has it)"],
        _ => [$"(no answer: {Text.Safe(answer.Problem)}; {answer.ArtifactId})"],
    };

    private static string Of(JsonElement answer) => answer.ValueKind switch
    {
        JsonValueKind.String => answer.GetString()!,
        JsonValueKind.True => "yes",
        JsonValueKind.False => "no",
        JsonValueKind.Array when answer.GetArrayLength() == 0 => "(none)",
        JsonValueKind.Array => string.Join('\n', answer.EnumerateArray().Select(item => "- " + item)),
        _ => Json(answer),
    };

    private static string Evidence(StepAnswerBody answer) => answer.EvidenceCount switch
    {
        0 => "no evidence",
        1 => "1 piece of evidence",
        var count => $"{count} pieces of evidence",
    };

    private static string Json(JsonElement answer)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Indented)) answer.WriteTo(json);
        return Encoding.UTF8.GetString(buffer.ToArray());
    }
}
