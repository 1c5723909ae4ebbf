using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Artifacts;

/// <summary>A row of <c>artifacts</c>; with its content only where a query asks for it.</summary>
internal sealed record ArtifactRow
{
    public string Id { get; init; } = "";
    public string? TaskId { get; init; }
    public string? TaskIntent { get; init; }
    public string? InvestigationId { get; init; }
    public string Kind { get; init; } = "";
    public string Title { get; init; } = "";
    public string? Url { get; init; }
    public string? FileName { get; init; }
    public string? MediaType { get; init; }
    public long? SizeBytes { get; init; }
    public string? Sha256 { get; init; }
    public string? CreatedBy { get; init; }
    public long CreatedAt { get; init; }
    public byte[]? Content { get; init; }

    public ArtifactKind ParsedKind => WireNames.Parse<ArtifactKind>(Kind);

    /// <summary>The name to save the content under.</summary>
    public string DownloadName => FileName ?? Id + (ParsedKind is ArtifactKind.Note or ArtifactKind.Summary ? ".md" : ".txt");

    public ArtifactBody ToBody() => new()
    {
        Id = Id,
        Kind = ParsedKind,
        Title = Title,
        TaskId = TaskId,
        TaskIntent = TaskIntent,
        InvestigationId = InvestigationId,
        Url = Url,
        FileName = FileName,
        MediaType = MediaType,
        SizeBytes = SizeBytes,
        Sha256 = Sha256,
        Text = Content is not null && ParsedKind is ArtifactKind.Note or ArtifactKind.Summary ? Encoding.UTF8.GetString(Content!) : null,
        CreatedBy = CreatedBy,
        CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(CreatedAt),
    };
}
