using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>What is wrong with an audit chain.</summary>
[JsonConverter(typeof(SnakeCaseEnum<ChainFaultKind>))]
public enum ChainFaultKind
{
    /// <summary>A row's fields do not give its hash, or another row was put in its place.</summary>
    Altered,
    /// <summary>A number is not there; the rows after it are.</summary>
    Missing,
    /// <summary>A row stands at the wrong place, or twice.</summary>
    Reordered,
    /// <summary>The end, or the beginning, was cut off.</summary>
    Truncated,
    /// <summary>A signature does not hold, is by another key, or does not reach so far.</summary>
    Unsigned,
    /// <summary>A line is not of an export.</summary>
    Unreadable,
}

/// <summary>The first thing that is wrong, with the place: <paramref name="Sequence"/> of the row, and its id where that is known.</summary>
public sealed record ChainFault(ChainFaultKind Kind, long Sequence, string? Id, string Message);

/// <summary>What a verification found. <see cref="Fault"/> null: the rows are what the server sealed, as far as the heads at hand can tell.</summary>
public sealed record ChainReport
{
    public ChainFault? Fault { get; init; }
    public string? Chain { get; init; }
    /// <summary>The last row that retention deleted; 0: the chain is whole. The first row at hand has the number after it.</summary>
    public long StartsAfter { get; init; }
    /// <summary>The last row that was checked.</summary>
    public long Last { get; init; }
    /// <summary>Thumbprint of the key that all signatures are by.</summary>
    public string? KeyFingerprint { get; init; }
    /// <summary>Heads of the head file that rows at hand were held against.</summary>
    public int HeadsMatched { get; init; }
}
