using System.Text.Json;

namespace Tanjiren.Protocol;

/// <summary>
/// Whether an answer has the form that its question wants. Pure, and the same for the agent, which asks again, and the server, which trusts no agent. What passes can be written as JSON, stored by
/// any database and read again as the same.
/// </summary>
public static class AnswerForms
{
    /// <summary>For messages: what the name of a question must be.</summary>
    public const string NameRule = "has 1 to 64 letters, digits, '.', '_' and '-'";

    /// <summary>For messages: what the name of a field must be.</summary>
    public const string FieldRule = NameRule;

    /// <summary>Readers of JSON stop at 64, and an answer stands inside of other things.</summary>
    private const int MaxDepth = 16;

    private const int MaxPathLength = 1000, MaxCommandLength = 2000, MaxNoteLength = 1000;

    /// <summary>Whether it can name a question or a field.</summary>
    public static bool IsName(string? name) => name is { Length: > 0 and <= 64 } && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');

    /// <summary>What is wrong with an answer and its evidence, in words for whoever gave it; null: nothing.</summary>
    public static string? Fault(TaskQuestion question, JsonElement? answer, IReadOnlyList<AnswerEvidence>? evidence)
    {
        if (answer is not { } given || given.ValueKind is JsonValueKind.Undefined) return "\"answer\" is missing";
        if (!IsWritable(given, MaxDepth)) return $"\"answer\" is nested more than {MaxDepth} deep, or has half of a UTF-16 surrogate pair, which is no text";
        var fault = (question.Form ?? AnswerForm.Text) switch
        {
            AnswerForm.Text => IsWords(given) ? null : $"\"answer\" must be a string with words in it, and is {Kind(given)}",
            AnswerForm.List => ListFault(given),
            AnswerForm.YesNo => YesNoFault(given, evidence),
            _ => ObjectFault(given, question.Fields ?? []),
        };
        if (fault is not null) return fault;
        var bytes = JsonSerializer.SerializeToUtf8Bytes(given, WireJson.Default.JsonElement).Length;
        return bytes > WireLimits.MaxAnswerBytes ? $"\"answer\" has {bytes} bytes as JSON; at most {WireLimits.MaxAnswerBytes} are allowed" : EvidenceFault(evidence);
    }

    /// <summary>What is wrong with evidence; null: nothing.</summary>
    public static string? EvidenceFault(IReadOnlyList<AnswerEvidence>? evidence)
    {
        if (evidence is null) return null;
        if (evidence.Count > WireLimits.MaxEvidence) return $"\"evidence\" has {evidence.Count} elements; at most {WireLimits.MaxEvidence} are allowed";
        long total = 0;
        for (var i = 0; i < evidence.Count; i++)
        {
            if (evidence[i] is not { } piece) return $"\"evidence[{i}]\" must be an object";
            if (PieceFault(piece) is { } fault) return $"\"evidence[{i}]\" {fault}";
            total += (piece.File?.Length ?? 0) + (piece.Command?.Length ?? 0) + (piece.Note?.Length ?? 0);
        }
        return total > WireLimits.MaxEvidenceLength ? $"\"evidence\" has {total} characters; at most {WireLimits.MaxEvidenceLength} are allowed" : null;
    }

    private static string? PieceFault(AnswerEvidence piece)
    {
        if (string.IsNullOrWhiteSpace(piece.File) && string.IsNullOrWhiteSpace(piece.Command)) return "names neither a file nor a command";
        if (TextFault(piece.File, MaxPathLength) is { } file) return $"has a file that {file}";
        if (TextFault(piece.Command, MaxCommandLength) is { } command) return $"has a command that {command}";
        if (TextFault(piece.Note, MaxNoteLength) is { } note) return $"has a note that {note}";
        if (piece.Line is < 1 || piece.EndLine is < 1) return "has a line below 1";
        if ((piece.Line ?? piece.EndLine) is not null && string.IsNullOrWhiteSpace(piece.File)) return "has a line of no file";
        return piece.EndLine is { } end && !(piece.Line <= end) ? "has an endLine without a line before it" : null;
    }

    private static string? TextFault(string? text, int longest) =>
        text is null ? null
        : text.Length > longest ? $"has more than {longest} characters"
        : text.Contains('\0') ? "contains a NUL character"
        : null;

    private static string? ListFault(JsonElement answer)
    {
        if (answer.ValueKind != JsonValueKind.Array) return $"\"answer\" must be an array of strings, and is {Kind(answer)}";
        var i = 0;
        foreach (var item in answer.EnumerateArray())
        {
            if (!IsWords(item)) return $"\"answer[{i}]\" must be a string with words in it, and is {Kind(item)}";
            i++;
        }
        return null;
    }

    private static string? YesNoFault(JsonElement answer, IReadOnlyList<AnswerEvidence>? evidence)
    {
        if (answer.ValueKind is not (JsonValueKind.True or JsonValueKind.False)) return $"\"answer\" must be true or false, and is {Kind(answer)}";
        return evidence is { Count: > 0 } ? null : "\"evidence\" must have at least one element: a yes or no stands on something";
    }

    private static string? ObjectFault(JsonElement answer, IReadOnlyList<string> fields)
    {
        if (answer.ValueKind != JsonValueKind.Object) return $"\"answer\" must be an object, and is {Kind(answer)}";
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var member in answer.EnumerateObject())
        {
            if (!fields.Contains(member.Name, StringComparer.Ordinal)) return $"\"answer\" has the field \"{Shown(member.Name)}\", which was not asked for; it has exactly {string.Join(", ", fields)}";
            if (!seen.Add(member.Name)) return $"\"answer\" has the field \"{Shown(member.Name)}\" twice";
        }
        return fields.FirstOrDefault(f => !seen.Contains(f)) is { } missing ? $"\"answer\" lacks the field \"{missing}\"; give null if it can't be found out" : null;
    }

    private static bool IsWords(JsonElement element) => element.ValueKind == JsonValueKind.String && !string.IsNullOrWhiteSpace(element.GetString());

    /// <summary>JavaScript cuts strings anywhere, and so can leave half of a pair, which is an escape in JSON that stands for no text.</summary>
    private static bool IsWritable(JsonElement element, int depth)
    {
        try
        {
            return element.ValueKind switch
            {
                JsonValueKind.String => element.GetString() is not null,
                JsonValueKind.Array => depth > 0 && element.EnumerateArray().All(item => IsWritable(item, depth - 1)),
                JsonValueKind.Object => depth > 0 && element.EnumerateObject().All(member => member.Name is not null && IsWritable(member.Value, depth - 1)),
                _ => true,
            };
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }

    private static string Kind(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.String => string.IsNullOrWhiteSpace(element.GetString()) ? "an empty string" : "a string",
        JsonValueKind.Array => "an array",
        JsonValueKind.Object => "an object",
        JsonValueKind.Number => "a number",
        JsonValueKind.Null => "null",
        _ => "true or false",
    };

    /// <summary>A name that somebody else made up, in a message.</summary>
    private static string Shown(string name) => new([.. name.Take(64).Select(c => char.IsControl(c) || char.IsSurrogate(c) ? ' ' : c)]);
}
