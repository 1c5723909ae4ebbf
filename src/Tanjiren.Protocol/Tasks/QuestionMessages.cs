using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>The form that the answer to a question must have.</summary>
[JsonConverter(typeof(SnakeCaseEnum<AnswerForm>))]
public enum AnswerForm
{
    /// <summary>A JSON string with words in it.</summary>
    Text,
    /// <summary>A JSON array of strings with words in them; it may be empty.</summary>
    List,
    /// <summary>true or false, with at least one piece of evidence.</summary>
    YesNo,
    /// <summary>A JSON object with exactly the fields that the question names; null stands for what could not be found out.</summary>
    Object,
}

/// <summary>A question of a task in mode investigate.</summary>
public sealed record TaskQuestion
{
    /// <summary>By which its answer is known; of one task no two are the same. See <see cref="AnswerForms.NameRule"/>.</summary>
    public string? Name { get; init; }
    /// <summary>What is asked; together with the others and <c>promptText</c> at most 64 KiB of UTF-8.</summary>
    public string? Text { get; init; }
    /// <summary>Default <c>text</c>.</summary>
    public AnswerForm? Form { get; init; }
    /// <summary>Of the form object, which needs them: 1-50 names, none of them twice. See <see cref="AnswerForms.FieldRule"/>.</summary>
    public IReadOnlyList<string>? Fields { get; init; }
}

/// <summary>Something that an answer stands on: a file, or a command, or both.</summary>
public sealed record AnswerEvidence
{
    /// <summary>Path of a file as the coding agent names it, at most 1000 characters.</summary>
    public string? File { get; init; }
    /// <summary>Of the file, from 1.</summary>
    public int? Line { get; init; }
    /// <summary>The last line, when there are several; not before the first.</summary>
    public int? EndLine { get; init; }
    /// <summary>A command that was run, at most 2000 characters.</summary>
    public string? Command { get; init; }
    /// <summary>What is to be seen there, at most 1000 characters.</summary>
    public string? Note { get; init; }
}

/// <summary>
/// <c>POST /api/steps/{id}/answers?session=…</c>: what became of one question, sent from the outbox until it is answered. The same again is answered, anything else for that question
/// and generation is 409 <c>result_conflict</c>. It comes before the result of its generation.
/// </summary>
public sealed record StepAnswerRequest
{
    public long? LeaseGeneration { get; init; }
    /// <summary>Name of a question of the task.</summary>
    public string? Question { get; init; }
    /// <summary>In the form of its question. Absent: there is none, and <see cref="Problem"/> says why.</summary>
    public JsonElement? Answer { get; init; }
    /// <summary>At most 50 pieces with 32,768 characters in all.</summary>
    public IReadOnlyList<AnswerEvidence>? Evidence { get; init; }
    /// <summary>Why there is no answer, at most 2000 characters.</summary>
    public string? Problem { get; init; }
    /// <summary>What was said instead of an answer, at most 16,384 characters.</summary>
    public string? Said { get; init; }
    /// <summary>How often it was asked: 1 or 2.</summary>
    public int? Asked { get; init; }
}

/// <summary>It is kept.</summary>
public sealed record StepAnswerResponse
{
    public required TransitionResult Result { get; init; }
    /// <summary>The artifact that it is.</summary>
    public required string ArtifactId { get; init; }
}

/// <summary>What became of one question of a step; the artifact has its evidence.</summary>
public sealed record StepAnswerBody
{
    /// <summary>Name of the question.</summary>
    public required string Question { get; init; }
    /// <summary>In the form of its question. Absent: there is none, or it is left out.</summary>
    public JsonElement? Answer { get; init; }
    /// <summary>It has an answer for which there is no room here: all of a task together have 4 Mi characters of JSON, in the order of steps and questions. The artifact has it.</summary>
    public bool? AnswerLeftOut { get; init; }
    /// <summary>Why there is none.</summary>
    public string? Problem { get; init; }
    /// <summary>Pieces of evidence.</summary>
    public required int EvidenceCount { get; init; }
    /// <summary>How often it was asked: 1 or 2.</summary>
    public required int Asked { get; init; }
    public required string ArtifactId { get; init; }
    public required DateTimeOffset AnsweredAt { get; init; }
}
