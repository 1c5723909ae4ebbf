namespace Tanjiren.Cli.Jobs;

/// <summary>
/// Takes a coding agent's events, which are for programs, out of a step's system stream: each stands between a record separator and the end of its line (RFC 7464). People see the
/// same on the other two streams. Chunks may cut an event anywhere.
/// </summary>
internal sealed class EventFilter
{
    private const byte RecordSeparator = 0x1E, LineFeed = (byte)'\n';

    private bool inside;

    /// <summary>What is no event.</summary>
    public byte[] Words(ReadOnlySpan<byte> data)
    {
        var words = new List<byte>();
        foreach (var b in data)
        {
            if (b == RecordSeparator) inside = true;
            if (!inside) words.Add(b);
            if (b == LineFeed) inside = false;
        }
        return [.. words];
    }
}
