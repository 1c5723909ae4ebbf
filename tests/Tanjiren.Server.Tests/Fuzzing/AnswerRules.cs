using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>What every answer must be, whatever was asked. That it is declared is judged below, by <see cref="DeclaredAnswers"/>.</summary>
internal static class AnswerRules
{
    private static readonly HashSet<string> Codes = [.. Enum.GetValues<ErrorCode>().Select(ProblemBody.CodeName)];
    private static readonly string[] InnerWords = ["Exception:", "   at Tanjiren.", "Npgsql", "SQLite Error", "SqlState"];

    /// <summary>What is wrong with the answer; null when nothing is.</summary>
    public static string? Check(Draft draft, Answer answer, OtherOrganization other)
    {
        if (answer.Wrong is not null) return answer.Wrong;
        if (answer.Hung) return null;
        if (answer.Status >= 500 && !(answer.Status == 503 && answer.HasRetryAfter)) return $"answered {answer.Status}";
        if (answer.Text.Contains(other.Mark, StringComparison.Ordinal)) return "tells of another organization";
        if (answer.Status < 300 && draft.Path.Values.Any(v => other.Has(Uri.UnescapeDataString(v)))) return $"answered {answer.Status} about another organization's thing";
        if (InnerWords.FirstOrDefault(w => answer.Text.Contains(w, StringComparison.Ordinal)) is { } inner) return $"tells its inner words: '{inner}'";
        // Which routes show pages, the document says; DeclaredAnswers holds them to it.
        if (answer.MediaType == "text/html" || draft.Route.IsPage && answer.MediaType == "application/json") return null;
        // RFC 6749 §5.2 gives OAuth's routes a form of their own for what the client did wrong.
        if (draft.Route.Template.StartsWith("/oauth/", StringComparison.Ordinal) && answer.Status is (400 or 401) && answer.MediaType == "application/json")
            return answer.Text.Contains("\"error\":", StringComparison.Ordinal) ? null : $"answered {answer.Status} without an OAuth error";
        return answer.Status >= 400 ? CheckProblem(answer) : null;
    }

    private static string? CheckProblem(Answer answer)
    {
        if (answer.MediaType != "application/problem+json") return $"answered {answer.Status} as {answer.MediaType ?? "nothing"} instead of a problem";
        ProblemBody problem;
        try
        {
            problem = JsonSerializer.Deserialize(answer.Text, WireJson.Default.ProblemBody)!;
        }
        catch (JsonException e)
        {
            return "answered a problem that can't be read: " + e.Message;
        }
        if (problem.Status != answer.Status) return $"answered {answer.Status} with a problem of {problem.Status}";
        if (!Codes.Contains(problem.Code)) return $"answered the unknown code '{problem.Code}'";
        if (string.IsNullOrEmpty(problem.Title) || string.IsNullOrEmpty(problem.Hint)) return "answered a problem without a title or a hint";
        if (problem.Is(ErrorCode.ValidationFailed) && problem.Errors is not { Count: > 0 }) return "refused fields without naming one";
        return null;
    }
}
