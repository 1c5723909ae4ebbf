using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Masking;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents.Questions;

/// <summary>What became of a question as it leaves the machine. A mark may be longer than what it hides, so the limits and the form are looked at once more.</summary>
internal static class MaskedAnswer
{
    public static StepAnswerRequest Of(StepAnswerRequest settled, TaskQuestion question, StepMasks masks)
    {
        var masked = settled with
        {
            Answer = settled.Answer is { } answer ? masks.Json(answer) : null,
            Evidence = settled.Evidence is { } evidence ? [.. evidence.Select(piece => piece with { File = masks.Text(piece.File), Command = masks.Text(piece.Command), Note = masks.Text(piece.Note) })] : null,
            Problem = StepResult.Cut(masks.Text(settled.Problem)),
            Said = masks.Text(settled.Said) is { } said ? TextCut.Keep(said, WireLimits.MaxSaidLength) : null,
        };
        if (masked.Answer is null || AnswerForms.Fault(question, masked.Answer, masked.Evidence) is not { } fault) return masked;
        return masked with { Answer = null, Evidence = null, Problem = $"it has secrets, and is no answer any more with them masked: {fault}" };
    }
}
