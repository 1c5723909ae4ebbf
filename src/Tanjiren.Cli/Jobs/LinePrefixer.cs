namespace Tanjiren.Cli.Jobs;

/// <summary>
/// Puts a name before each line of one stream of one step. Lines are written whole, so that steps which run at once do not mix within a line; one longer
/// than the buffer, and the last one without an end, are ended with a newline of our own.
/// </summary>
internal sealed class LinePrefixer(Stream target, byte[] prefix)
{
    private const int MaxLine = 64 * 1024;
    private readonly List<byte> line = [];

    public void Write(ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            var end = data.IndexOf((byte)'\n');
            var piece = end < 0 ? data : data[..(end + 1)];
            if (line.Count + piece.Length > MaxLine) Flush();
            while (piece.Length > MaxLine)
            {
                Emit(piece[..MaxLine]);
                data = data[MaxLine..];
                piece = piece[MaxLine..];
            }
            data = data[piece.Length..];
            if (piece.IsEmpty) continue;
            line.AddRange(piece);
            if (piece[^1] == (byte)'\n') Flush();
        }
    }

    public void Flush()
    {
        if (line.Count == 0) return;
        Emit(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(line));
        line.Clear();
    }

    private void Emit(ReadOnlySpan<byte> text)
    {
        // One write a line: another process that shares this terminal or file then cuts in between lines only.
        var whole = new byte[prefix.Length + text.Length + (text[^1] == (byte)'\n' ? 0 : 1)];
        prefix.CopyTo(whole, 0);
        text.CopyTo(whole.AsSpan(prefix.Length));
        whole[^1] = (byte)'\n';
        target.Write(whole);
    }
}
