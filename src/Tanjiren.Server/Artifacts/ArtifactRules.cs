using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Records;

namespace Tanjiren.Server.Artifacts;

/// <summary>An artifact that has been checked and can be stored.</summary>
internal sealed record ArtifactDraft
{
    public required ArtifactKind Kind { get; init; }
    public required string Title { get; init; }
    public string? Url { get; init; }
    public string? FileName { get; init; }
    public string? MediaType { get; init; }
    public byte[]? Content { get; init; }

    /// <summary>Lower-case hex; null without a content.</summary>
    public string? Sha256 => field ??= Content is null ? null : Convert.ToHexStringLower(SHA256.HashData(Content));
}

/// <summary>Validates what people attach. Pure.</summary>
internal static class ArtifactRules
{
    public const string Markdown = "text/markdown";
    private const string PlainText = "text/plain";
    private const string UnknownType = "application/octet-stream";
    private const int MaxMediaTypeLength = 127;

    /// <summary>Meaningful only when no error was added.</summary>
    public static ArtifactDraft Read(CreateArtifactRequest request, FieldErrors errors)
    {
        if (request.Kind is not (ArtifactKind.Note or ArtifactKind.Link or ArtifactKind.Evidence))
            errors.Add("kind", "is required: note, link or evidence (the server writes summaries itself)");
        var kind = request.Kind ?? ArtifactKind.Note;
        var isLink = kind == ArtifactKind.Link;
        errors.Require(isLink || request.Url is null, "url", "is for links");
        errors.Require(!isLink || request.Text is null, "text", "is for notes and evidence");
        errors.Require(!isLink || request.Sha256 is null, "sha256", "is for notes and evidence");
        errors.Require(kind == ArtifactKind.Evidence || request.FileName is null, "fileName", "is for evidence");
        errors.Require(kind == ArtifactKind.Evidence || request.MediaType is null, "mediaType", "is for evidence");
        var url = isLink ? CheckUrl(request.Url, errors) : null;
        if (!isLink) errors.Require(!string.IsNullOrEmpty(request.Text), "text", "is required");
        if (kind == ArtifactKind.Note) RecordRules.CheckProse(errors, request.Text, "text");
        var fileName = CheckFileName(request.FileName, errors);
        var draft = new ArtifactDraft
        {
            Kind = kind,
            Title = CheckTitle(request.Title ?? (isLink ? Shorten(url) : fileName), errors),
            Url = url,
            FileName = fileName,
            MediaType = isLink ? null : kind == ArtifactKind.Note ? Markdown : CheckMediaType(request.MediaType, "mediaType", errors) ?? PlainText,
            Content = isLink ? null : Encoding.UTF8.GetBytes(request.Text ?? ""),
        };
        CheckDigest(draft, request.Sha256, errors);
        return draft;
    }

    /// <summary>Raw bytes: evidence. <paramref name="contentType"/> is told to whoever reads it and never acted upon.</summary>
    public static ArtifactDraft Read(byte[] content, string? title, string? fileName, string? contentType, string? sha256, FieldErrors errors)
    {
        var name = CheckFileName(fileName, errors);
        var draft = new ArtifactDraft
        {
            Kind = ArtifactKind.Evidence,
            Title = CheckTitle(title ?? name, errors),
            FileName = name,
            MediaType = CheckMediaType(contentType, "Content-Type", errors) ?? UnknownType,
            Content = content,
        };
        CheckDigest(draft, sha256, errors);
        return draft;
    }

    private static void CheckDigest(ArtifactDraft draft, string? expected, FieldErrors errors)
    {
        if (expected is null || draft.Content is null) return;
        if (expected.Length != 64 || !expected.All(char.IsAsciiHexDigit)) errors.Add("sha256", "must be the 64 hex digits of a SHA-256");
        else if (!string.Equals(expected, draft.Sha256, StringComparison.OrdinalIgnoreCase)) errors.Add("sha256", $"is not that of what arrived: {draft.Content.Length} bytes with {draft.Sha256}");
    }

    /// <summary>The address as it is stored: escaped, so that it is one word. Other schemes than these two would run or read something on a click.</summary>
    private static string? CheckUrl(string? value, FieldErrors errors)
    {
        if (!Uri.TryCreate(value?.Trim(), UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https") || url.Host.Length == 0)
        {
            errors.Add("url", "is required: an absolute http or https address");
            return null;
        }
        errors.Require(url.UserInfo.Length == 0, "url", "must not carry a user name or password: whoever may read the artifact would have it");
        errors.Require(url.AbsoluteUri.Length <= WireLimits.MaxUrlLength, "url", $"has {url.AbsoluteUri.Length} characters; at most {WireLimits.MaxUrlLength} are allowed");
        return url.AbsoluteUri;
    }

    private static string CheckTitle(string? title, FieldErrors errors) => errors.Text(title, WireLimits.MaxTitleLength, "title");

    private static string? CheckFileName(string? name, FieldErrors errors)
    {
        if (name is null) return null;
        var text = errors.Text(name, WireLimits.MaxTitleLength, "fileName");
        errors.Require(text.AsSpan().IndexOfAny('/', '\\') < 0 && text is not ("." or ".."), "fileName", "must be a name without a directory");
        return text;
    }

    private static string? CheckMediaType(string? value, string field, FieldErrors errors)
    {
        if (string.IsNullOrEmpty(value)) return null;
        // Without its parameters: they could hold anything.
        if (MediaTypeHeaderValue.TryParse(value, out var type) && type.MediaType is { Length: <= MaxMediaTypeLength } known) return known.ToLowerInvariant();
        errors.Add(field, $"must be a media type of at most {MaxMediaTypeLength} characters, for example text/csv");
        return null;
    }

    private static string? Shorten(string? url)
    {
        if (url is null || url.Length <= WireLimits.MaxTitleLength) return url;
        // Half of a surrogate pair is no text: PostgreSQL's driver refuses it.
        var length = WireLimits.MaxTitleLength - 1;
        return url[..(char.IsHighSurrogate(url[length - 1]) ? length - 1 : length)] + "…";
    }
}
