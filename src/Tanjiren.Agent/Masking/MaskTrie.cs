using System.Buffers;
using System.Runtime.InteropServices;

namespace Tanjiren.Agent.Masking;

/// <summary>
/// Finds all patterns in one pass (Aho and Corasick): a node stands for the longest beginning of a pattern that the text ends with, 0 for none. Constant work for each byte,
/// whatever the patterns and the text are. Immutable once made; whoever reads keeps the node.
/// </summary>
internal sealed class MaskTrie
{
    /// <summary>With more first bytes than these a search for the next of them stops nearly everywhere, and pairs are looked at one by one.</summary>
    private const int FewFirstBytes = 12;

    private readonly int[] fromRoot = new int[256];
    // Which two bytes begin a pattern, a bit each.
    private readonly ulong[] pairs = new ulong[1024];
    private readonly SearchValues<byte>? firstBytes;
    private Node[] nodes = new Node[64];
    private int count = 1;

    /// <param name="patterns">Each of at least two bytes; whether it is of base64, which a line break does not end.</param>
    public MaskTrie(IEnumerable<(byte[] Bytes, bool IsBase64)> patterns)
    {
        foreach (var (bytes, isBase64) in patterns) Add(bytes, isBase64);
        Array.Resize(ref nodes, count);
        Link();
        var first = Enumerable.Range(0, 256).Where(b => fromRoot[b] != 0).Select(b => (byte)b).ToArray();
        if (first.Length <= FewFirstBytes) firstBytes = SearchValues.Create(first);
        foreach (var b in first)
            for (var child = nodes[fromRoot[b]].Child; child != 0; child = nodes[child].Sibling) pairs[PairOf(b, nodes[child].Label) >> 6] |= 1UL << PairOf(b, nodes[child].Label);
    }

    /// <summary>Length of the longest pattern.</summary>
    public int Longest { get; private set; }

    public int Next(int node, byte b)
    {
        while (node != 0)
        {
            if (ChildOf(node, b) is var child and not 0) return child;
            node = nodes[node].Failure;
        }
        return fromRoot[b];
    }

    /// <summary>The first place from <paramref name="from"/> on, in a text with no pattern begun, at which one may begin; at the latest the last byte.</summary>
    public int Skip(ReadOnlySpan<byte> text, int from)
    {
        var last = text.Length - 1;
        while (from < last)
        {
            if (firstBytes is not null)
            {
                var found = text[from..last].IndexOfAny(firstBytes);
                if (found < 0) return last;
                from += found;
            }
            var pair = PairOf(text[from], text[from + 1]);
            if ((pairs[pair >> 6] >> pair & 1) != 0) return from;
            from++;
        }
        return last;
    }

    /// <summary>Length of the longest pattern that ends here; 0 when none does. Every other one that ends here lies within it.</summary>
    public int MatchAt(int node) => nodes[node].Match;

    public int Base64MatchAt(int node) => nodes[node].Base64Match;

    /// <summary>How many bytes of a pattern the text ends with.</summary>
    public int DepthOf(int node) => nodes[node].Depth;

    /// <summary>The same of patterns of base64.</summary>
    public int Base64DepthOf(int node) => nodes[node].Base64Depth;

    /// <summary>How many bytes of a pattern that is not at its end yet the text ends with.</summary>
    public int OpenAt(int node) => nodes[node].Open;

    public int Base64OpenAt(int node) => nodes[node].Base64Open;

    private void Add(byte[] bytes, bool isBase64)
    {
        var node = 0;
        foreach (var b in bytes)
        {
            node = (node == 0 ? fromRoot[b] : ChildOf(node, b)) is var child and not 0 ? child : Grow(node, b);
            nodes[node].IsBase64 |= isBase64;
        }
        nodes[node].Match = bytes.Length;
        if (isBase64) nodes[node].Base64Match = bytes.Length;
        Longest = Math.Max(Longest, bytes.Length);
    }

    private int Grow(int parent, byte b)
    {
        if (count == nodes.Length) Array.Resize(ref nodes, count * 2);
        nodes[count] = new Node { Label = b, Depth = nodes[parent].Depth + 1, Sibling = nodes[parent].Child };
        nodes[parent].Child = count;
        if (parent == 0) fromRoot[b] = count;
        return count++;
    }

    /// <summary>By depth: the failure of a node is less deep, and is linked before it.</summary>
    private void Link()
    {
        var order = new int[count];
        var known = 1;
        for (var i = 0; i < known; i++)
        {
            var parent = order[i];
            for (var child = nodes[parent].Child; child != 0; child = nodes[child].Sibling)
            {
                ref var node = ref nodes[child];
                node.Failure = parent == 0 ? 0 : Next(nodes[parent].Failure, node.Label);
                ref var shorter = ref nodes[node.Failure];
                if (node.Match == 0) node.Match = shorter.Match;
                if (node.Base64Match == 0) node.Base64Match = shorter.Base64Match;
                node.Base64Depth = node.IsBase64 ? node.Depth : shorter.Base64Depth;
                node.Open = node.Child != 0 ? node.Depth : shorter.Open;
                node.Base64Open = GoesOnInBase64(child) ? node.Depth : shorter.Base64Open;
                order[known++] = child;
            }
        }
    }

    // Few siblings but at the root: what begins alike soon parts, and goes on alone.
    private int ChildOf(int node, byte b)
    {
        var child = nodes[node].Child;
        while (child != 0 && nodes[child].Label != b) child = nodes[child].Sibling;
        return child;
    }

    private bool GoesOnInBase64(int node)
    {
        var child = nodes[node].Child;
        while (child != 0 && !nodes[child].IsBase64) child = nodes[child].Sibling;
        return child != 0;
    }

    private static int PairOf(byte first, byte second) => first | second << 8;

    [StructLayout(LayoutKind.Auto)]
    private struct Node
    {
        public int Child;
        public int Sibling;
        /// <summary>The longest end of this node's text, but itself, that begins a pattern.</summary>
        public int Failure;
        public int Depth;
        public int Base64Depth;
        public int Open;
        public int Base64Open;
        public int Match;
        public int Base64Match;
        public byte Label;
        public bool IsBase64;
    }
}
