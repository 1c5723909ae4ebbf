using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks.Answers;

/// <summary>A row of <c>step_answers</c>.</summary>
internal sealed record AnswerRow
{
    public string StepId { get; init; } = "";
    public long Generation { get; init; }
    public int Ordinal { get; init; }
    public string ArtifactId { get; init; } = "";
    /// <summary>1: there is an answer.</summary>
    public int Answered { get; init; }
    /// <summary>JSON; null also where there was no room for it, or it was not asked for.</summary>
    public string? Answer { get; init; }
    public string? Problem { get; init; }
    /// <summary>The beginning of the answer, or of the problem, as one line.</summary>
    public string Words { get; init; } = "";
    public int EvidenceCount { get; init; }
    public int Asked { get; init; }
    public long AnsweredAt { get; init; }

    public StepAnswerBody ToBody(TaskQuestion question) => new()
    {
        Question = question.Name!,
        Answer = Answer is null ? null : JsonSerializer.Deserialize(Answer, WireJson.Default.JsonElement),
        AnswerLeftOut = Answered != 0 && Answer is null ? true : null,
        Problem = Problem,
        EvidenceCount = EvidenceCount,
        Asked = Asked,
        ArtifactId = ArtifactId,
        AnsweredAt = TaskMapping.Instant(AnsweredAt),
    };
}
