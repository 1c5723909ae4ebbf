using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Tasks;

/// <summary>Validates the questions of a task and fills in their form. Pure.</summary>
internal static class QuestionRules
{
    /// <summary>As they are stored; meaningful only when no error was added.</summary>
    public static IReadOnlyList<TaskQuestion>? Normalize(CreateTaskRequest request, TaskMode mode, FieldErrors errors)
    {
        if (mode != TaskMode.Investigate)
        {
            errors.Require(request.Questions is null, "questions", "are for the mode investigate");
            return null;
        }
        var questions = request.Questions ?? [];
        errors.Require(questions.Count is > 0 and <= WireLimits.MaxQuestions, "questions", $"are required in the mode investigate: 1 to {WireLimits.MaxQuestions}");
        var names = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        for (var i = 0; i < questions.Count && i < WireLimits.MaxQuestions; i++) Check(questions[i], $"questions[{i}]", names, errors);
        // Together they are what the doctrine's patterns read, which read no more.
        var bytes = Encoding.UTF8.GetByteCount(request.PromptText ?? "") + questions.Sum(q => 1L + Encoding.UTF8.GetByteCount(q?.Text ?? ""));
        errors.Require(bytes <= WireLimits.MaxProseBytes, "questions", $"have {bytes} bytes of UTF-8 together with promptText; at most {WireLimits.MaxProseBytes} are allowed");
        return errors.Any ? questions : [.. questions.Select(q => q with { Form = q.Form ?? AnswerForm.Text })];
    }

    /// <summary>What a task is for that says nothing else.</summary>
    public static string AsIntent(IReadOnlyList<TaskQuestion>? questions)
    {
        if (questions is null || questions.Count == 0) return "";
        var first = questions[0]?.Text ?? "";
        return questions.Count == 1 ? first : $"{questions.Count} questions: {first}";
    }

    private static void Check(TaskQuestion? question, string field, HashSet<string> names, FieldErrors errors)
    {
        if (question is null)
        {
            errors.Add(field, "must be an object with name and text");
            return;
        }
        if (!AnswerForms.IsName(question.Name)) errors.Add($"{field}.name", AnswerForms.NameRule);
        else if (!names.Add(question.Name!)) errors.Add($"{field}.name", $"'{question.Name}' is the name of another question; upper and lower case are the same");
        errors.Require(!string.IsNullOrWhiteSpace(question.Text), $"{field}.text", "is required: what is asked");
        errors.Require(question.Text?.Contains('\0') != true, $"{field}.text", "must not contain a NUL character");
        CheckFields(question, field, errors);
    }

    private static void CheckFields(TaskQuestion question, string field, FieldErrors errors)
    {
        if (question.Form != AnswerForm.Object)
        {
            errors.Require(question.Fields is null, $"{field}.fields", "are for the form object");
            return;
        }
        var fields = question.Fields ?? [];
        errors.Require(fields.Count is > 0 and <= WireLimits.MaxAnswerFields, $"{field}.fields", $"are required by the form object: 1 to {WireLimits.MaxAnswerFields} names");
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < fields.Count && i < WireLimits.MaxAnswerFields; i++)
        {
            if (!AnswerForms.IsName(fields[i])) errors.Add($"{field}.fields[{i}]", AnswerForms.FieldRule);
            else if (!seen.Add(fields[i])) errors.Add($"{field}.fields[{i}]", $"'{fields[i]}' stands there twice");
        }
    }
}
