using System.Security.Cryptography;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

[JsonConverter(typeof(CamelCaseEnum<LogStream>))]
public enum LogStream
{
    Stdout,
    Stderr,
    /// <summary>Words of the agent itself, such as the marker of a truncated log.</summary>
    System,
}

/// <summary><c>POST /api/steps/{id}/logs?session=…</c>: chunks in order of sequence.</summary>
public sealed record AppendLogsRequest
{
    public long? LeaseGeneration { get; init; }
    public IReadOnlyList<LogChunk>? Chunks { get; init; }
}

/// <summary>A piece of one stream. Keyed by (step, generation, sequence); bytes, not text.</summary>
public sealed record LogChunk
{
    /// <summary>From 1, without gaps, across the streams of one claim.</summary>
    public required long Seq { get; init; }
    public required LogStream Stream { get; init; }
    /// <summary>When the agent read it.</summary>
    public required DateTimeOffset At { get; init; }
    /// <summary>Base64 in JSON; at most 256 KiB of bytes, at least one.</summary>
    public required byte[] Data { get; init; }

    /// <summary>What tells a repeated chunk from another one under the same key: 16 bytes of SHA-256 over stream and data, in hex.</summary>
    public string Signature()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData([(byte)Stream]);
        hash.AppendData(Data);
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16));
    }
}

public sealed record AppendLogsResponse
{
    /// <summary>Everything up to this sequence is stored durably; the agent may forget it.</summary>
    public required long StoredSeq { get; init; }
}

/// <summary>A stored chunk, as people read it (<c>GET /api/tasks/{id}/steps/{stepId}/logs</c>, and the SSE event <c>log</c>).</summary>
public sealed record LogChunkBody
{
    public required string StepId { get; init; }
    public required long LeaseGeneration { get; init; }
    public required long Seq { get; init; }
    public required LogStream Stream { get; init; }
    public required DateTimeOffset At { get; init; }
    /// <summary>Base64 in JSON: the bytes as the process wrote them.</summary>
    public required byte[] Data { get; init; }
    /// <summary><see cref="LogChunk.Signature"/> as it was when the chunk arrived; absent in events.</summary>
    public string? Signature { get; init; }

    /// <summary>The chunk as its workstation sent it.</summary>
    public LogChunk ToChunk() => new() { Seq = Seq, Stream = Stream, At = At, Data = Data };
}

/// <summary>
/// One server-sent event of <c>GET /api/tasks/{id}/events</c>. The SSE <c>id</c> is a number that grows with every event of the task, in commit
/// order and without holes for the reader: <c>Last-Event-ID</c> resumes exactly after it. Event names: <c>task</c> (the whole task, first and
/// at every change), <c>log</c> (a chunk), <c>approvalRequested</c>, <c>approved</c>, <c>rejected</c>, <c>approvalExpired</c> (the approval, and the task as with
/// <c>task</c>), <c>permissionAsked</c>, <c>permissionAnswered</c>, <c>permissionExpired</c>, <c>permissionWithdrawn</c> (the question, and the task), <c>end</c> (the task is terminal and its logs are complete; the stream closes).
/// </summary>
public sealed record TaskEventBody
{
    public TaskBody? Task { get; init; }
    public LogChunkBody? Log { get; init; }
    public ApprovalBody? Approval { get; init; }
    public PermissionBody? Permission { get; init; }
}
