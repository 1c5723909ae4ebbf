using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What an artifact is (T-12).</summary>
[JsonConverter(typeof(SnakeCaseEnum<ArtifactKind>))]
public enum ArtifactKind
{
    /// <summary>Markdown that somebody wrote, or the answer of a coding agent to a question.</summary>
    Note,
    /// <summary>An address elsewhere.</summary>
    Link,
    /// <summary>A text or file as it was, with its SHA-256.</summary>
    Evidence,
    /// <summary>Markdown that the server wrote when the task ended: one of each task.</summary>
    Summary,
}

/// <summary>
/// <c>POST /api/tasks/{id}/artifacts</c> and <c>POST /api/investigations/{id}/artifacts</c>. Takes <c>Idempotency-Key</c>. Files that are larger than an
/// ordinary request or no text go as raw bytes to <c>…/artifacts/files</c>.
/// </summary>
public sealed record CreateArtifactRequest
{
    /// <summary>note, link or evidence; summaries are the server's own.</summary>
    public ArtifactKind? Kind { get; init; }
    /// <summary>1-200 characters. Absent: of a link its address, of evidence its file name; a note needs one.</summary>
    public string? Title { get; init; }
    /// <summary>Of a note: Markdown, at most 64 KiB of UTF-8. Of evidence: what is stored, as UTF-8.</summary>
    public string? Text { get; init; }
    /// <summary>Of a link: http or https, at most 2000 characters, without a user name or password.</summary>
    public string? Url { get; init; }
    /// <summary>Of evidence: the name that it is downloaded under, at most 200 characters, without a directory.</summary>
    public string? FileName { get; init; }
    /// <summary>Of evidence: what it is said to be, for example <c>text/csv</c>; default <c>text/plain</c>. It is told, and never acted upon.</summary>
    public string? MediaType { get; init; }
    /// <summary>The SHA-256 that the content must have, in hex; another one is 422.</summary>
    public string? Sha256 { get; init; }
}

/// <summary>An artifact. It outlives its task.</summary>
public sealed record ArtifactBody
{
    public required string Id { get; init; }
    public required ArtifactKind Kind { get; init; }
    public required string Title { get; init; }
    public string? TaskId { get; init; }
    /// <summary>What the task was for, kept also when the task is gone.</summary>
    public string? TaskIntent { get; init; }
    /// <summary>The one that it was attached to, or that its task belonged to.</summary>
    public string? InvestigationId { get; init; }
    /// <summary>Of a link.</summary>
    public string? Url { get; init; }
    public string? FileName { get; init; }
    /// <summary>As its maker said. <c>…/content</c> is always served as <c>application/octet-stream</c>.</summary>
    public string? MediaType { get; init; }
    /// <summary>Of the content; absent for links.</summary>
    public long? SizeBytes { get; init; }
    /// <summary>Of the content, in lower-case hex; absent for links.</summary>
    public string? Sha256 { get; init; }
    /// <summary>The Markdown of a note or summary. Absent in lists, and for evidence (read that at <c>…/content</c>).</summary>
    public string? Text { get; init; }
    /// <summary>User id, or of an answer the id of the workstation that gave it; absent: the server.</summary>
    public string? CreatedBy { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
}
