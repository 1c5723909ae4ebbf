using System.Globalization;
using System.Text;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Artifacts;

namespace Tanjiren.Server.Tasks.Answers;

/// <summary>What became of a question, as Markdown for people. What others wrote in it stays text: it is indented, and so neither markup nor HTML, or escaped.</summary>
internal static class AnswerText
{
    private const int MaxLine = 400;

    private static readonly JsonWriterOptions Indented = new() { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static ArtifactDraft Of(TaskQuestion question, StepAnswerRequest given, string? workstation)
    {
        var text = new StringBuilder($"# {PlainMarkdown.Line(question.Name!)}\n\n");
        Indent(text, question.Text!);
        text.Append('\n');
        if (given.Answer is { } answer)
        {
            text.Append(CultureInfo.InvariantCulture, $"Answered on {PlainMarkdown.Line(workstation ?? "a workstation")}{(given.Asked > 1 ? ", asked twice" : "")}:\n\n");
            Indent(text, Words(answer));
        }
        else
        {
            text.Append(CultureInfo.InvariantCulture, $"Not answered on {PlainMarkdown.Line(workstation ?? "a workstation")}: {PlainMarkdown.Line(given.Problem!)}\n");
            if (!string.IsNullOrWhiteSpace(given.Said))
            {
                text.Append("\nWhat was said:\n\n");
                Indent(text, given.Said);
            }
        }
        if (given.Evidence is { Count: > 0 } evidence)
        {
            text.Append("\nEvidence:\n\n");
            foreach (var piece in evidence) text.Append("- ").Append(PlainMarkdown.Line(Words(piece))).Append('\n');
        }
        return new ArtifactDraft { Kind = ArtifactKind.Note, Title = Title(question, given), MediaType = ArtifactRules.Markdown, Content = Encoding.UTF8.GetBytes(text.ToString()) };
    }

    /// <summary>An answer as people write it: words as they are, a list by lines, yes or no, and JSON where it is an object.</summary>
    private static string Words(JsonElement answer) => answer.ValueKind switch
    {
        JsonValueKind.String => answer.GetString()!,
        JsonValueKind.True => "yes",
        JsonValueKind.False => "no",
        JsonValueKind.Array when answer.GetArrayLength() == 0 => "(none)",
        JsonValueKind.Array => string.Join('\n', answer.EnumerateArray().Select(item => "- " + item.GetString())),
        _ => Json(answer),
    };

    /// <summary>The beginning of what became of a question, as one line.</summary>
    public static string Line(StepAnswerRequest given) => Short(given.Answer is { } answer ? Words(answer) : given.Problem!);

    /// <summary>The beginning of a text, as one line; no character of it is one that a database can't store.</summary>
    public static string Short(string text)
    {
        var line = PlainMarkdown.Visible(text.ReplaceLineEndings(" "));
        return line.Length <= MaxLine ? line : line[..(char.IsHighSurrogate(line[MaxLine - 1]) ? MaxLine - 1 : MaxLine)] + "…";
    }

    private static string Words(AnswerEvidence piece)
    {
        var lines = piece.Line is { } line ? piece.EndLine is { } end && end != line ? $":{line}-{end}" : $":{line}" : "";
        var parts = new[] { piece.File is null ? null : piece.File + lines, piece.Command is null ? null : "$ " + piece.Command }.Where(p => !string.IsNullOrWhiteSpace(p));
        return string.Join("; ", parts) + (string.IsNullOrWhiteSpace(piece.Note) ? "" : ": " + piece.Note);
    }

    private static string Title(TaskQuestion question, StepAnswerRequest given)
    {
        var title = TaskRequestRules.AsIntent($"{question.Name}{(given.Answer is null ? " (not answered)" : "")}: {question.Text}");
        if (title.Length <= WireLimits.MaxTitleLength) return title;
        // Half of a surrogate pair is no text: PostgreSQL's driver refuses it.
        var length = WireLimits.MaxTitleLength - 1;
        return title[..(char.IsHighSurrogate(title[length - 1]) ? length - 1 : length)] + "…";
    }

    private static string Json(JsonElement answer)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Indented)) answer.WriteTo(json);
        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    private static void Indent(StringBuilder text, string words)
    {
        foreach (var line in words.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n')) text.Append("    ").Append(PlainMarkdown.Visible(line)).Append('\n');
    }
}
