using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>
/// An error, as RFC 9457 problem details (<c>application/problem+json</c>) with a stable <see cref="Code"/> and a <see cref="Hint"/>
/// that says what to do next.
/// </summary>
public sealed record ProblemBody
{
    public string? Type { get; init; }
    public required string Title { get; init; }
    public required int Status { get; init; }
    public string? Detail { get; init; }

    /// <summary>An <see cref="ErrorCode"/> in snake_case; a string, so that a client reads codes newer than itself.</summary>
    public required string Code { get; init; }

    /// <summary>The next step, in one sentence.</summary>
    public string? Hint { get; init; }

    /// <summary>For 422: field path (<c>command.argv[2]</c>) to what is wrong with it.</summary>
    public IReadOnlyDictionary<string, string[]>? Errors { get; init; }

    /// <summary>For 409: the state that stood in the way.</summary>
    public string? CurrentState { get; init; }

    /// <summary>For 401 by a wrong clock: how far the caller's clock is ahead of the server's, in seconds.</summary>
    public double? ClockOffsetSeconds { get; init; }

    /// <summary>For 500: quote it to the operator.</summary>
    public string? TraceId { get; init; }

    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Extensions { get; set; } // not init: generated JSON then binds it as a constructor parameter, which extension data can't be

    /// <summary>The wire form of a code: snake_case.</summary>
    public static string CodeName(ErrorCode code) => JsonNamingPolicy.SnakeCaseLower.ConvertName(code.ToString());

    public bool Is(ErrorCode code) => string.Equals(Code, CodeName(code), StringComparison.Ordinal);
}
