using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Tanjiren.Server.Governance;

/// <summary>What is wrong in a document, and where; lines and columns count from 1.</summary>
internal sealed record DoctrineFault(long Line, long Column, string Message)
{
    public override string ToString() => $"line {Line}, column {Column}: {Message}";
}

/// <summary>A part of a document with its place in it.</summary>
internal abstract record YamlPart(long Line, long Column);

/// <summary><paramref name="IsPlain"/>: without quotes, so that an empty one means that there is nothing.</summary>
internal sealed record YamlText(long Line, long Column, string Value, bool IsPlain) : YamlPart(Line, Column)
{
    public bool IsNothing => IsPlain && Value is "" or "~" or "null";
}

internal sealed record YamlList(long Line, long Column, IReadOnlyList<YamlPart> Items) : YamlPart(Line, Column);

internal sealed record YamlMap(long Line, long Column, IReadOnlyList<(YamlText Key, YamlPart Value)> Entries) : YamlPart(Line, Column);

/// <summary>
/// Reads the YAML that a doctrine needs: maps, lists and text. What serves only to surprise whoever reads a policy is refused: aliases and anchors (a few lines
/// can stand for gigabytes), tags, keys that stand twice, and nesting that no doctrine has (the library's own document model recurses until the stack ends).
/// </summary>
internal sealed class YamlReader
{
    private const int MaxDepth = 8;

    private readonly IParser _parser;

    private YamlReader(string text) => _parser = new Parser(new StringReader(text));

    /// <summary>The root; null when there is nothing but comments, or a fault.</summary>
    public static YamlPart? Read(string text, List<DoctrineFault> faults)
    {
        try
        {
            return new YamlReader(text).ReadDocument();
        }
        catch (YamlException e)
        {
            faults.Add(new DoctrineFault(Math.Max(1, e.Start.Line), Math.Max(1, e.Start.Column), Sentence(e.Message)));
        }
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException or InvalidOperationException or EndOfStreamException)
        {
            // The library's scanner has a few ways to fail over nonsense without saying where; it had read up to here.
            faults.Add(new DoctrineFault(1, 1, "can't be read as YAML"));
        }
        return null;
    }

    /// <summary>Whether PostgreSQL, JSON and a terminal can all carry it: no control characters but line feed and tab, no half of a surrogate pair.</summary>
    public static bool IsText(string text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            if (char.IsControl(text[i]) && text[i] is not ('\n' or '\t' or '\r')) return false;
            if (!char.IsSurrogate(text[i])) continue;
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1])) return false;
            i++;
        }
        return true;
    }

    private YamlPart? ReadDocument()
    {
        _parser.Consume<StreamStart>();
        if (_parser.Accept<StreamEnd>(out _)) return null;
        _parser.Consume<DocumentStart>();
        var root = ReadPart(0);
        _parser.Consume<DocumentEnd>();
        return _parser.Accept<StreamEnd>(out _) ? root : throw Fault(_parser.Current!, "a second document begins here; a doctrine is one");
    }

    private YamlPart ReadPart(int depth)
    {
        var current = _parser.Current ?? throw new InvalidOperationException("The document ended within a part.");
        if (depth > MaxDepth) throw Fault(current, "is nested more deeply than anything in a doctrine");
        if (current is AnchorAlias) throw Fault(current, "is an alias (*); write out what it stands for");
        if (current is NodeEvent { Anchor.IsEmpty: false }) throw Fault(current, "has an anchor (&); there are no aliases here");
        if (current is NodeEvent { Tag.IsEmpty: false }) throw Fault(current, "has a tag (!); there are none here");
        var (line, column) = (current.Start.Line, current.Start.Column);
        if (_parser.TryConsume<Scalar>(out var scalar))
            return IsText(scalar.Value) ? new YamlText(line, column, scalar.Value, scalar.Style == ScalarStyle.Plain) : throw Fault(current, "contains a control character");
        if (_parser.TryConsume<SequenceStart>(out _))
        {
            var items = new List<YamlPart>();
            while (!_parser.TryConsume<SequenceEnd>(out _)) items.Add(ReadPart(depth + 1));
            return new YamlList(line, column, items);
        }
        _parser.Consume<MappingStart>();
        return new YamlMap(line, column, ReadEntries(depth));
    }

    private List<(YamlText, YamlPart)> ReadEntries(int depth)
    {
        var entries = new List<(YamlText, YamlPart)>();
        var keys = new HashSet<string>(StringComparer.Ordinal);
        while (!_parser.TryConsume<MappingEnd>(out _))
        {
            var start = _parser.Current!;
            if (ReadPart(depth + 1) is not YamlText key) throw Fault(start, "a key must be a word");
            if (!keys.Add(key.Value)) throw Fault(start, $"the key '{key.Value}' stands here a second time");
            entries.Add((key, ReadPart(depth + 1)));
        }
        return entries;
    }

    private static YamlException Fault(ParsingEvent at, string message) => new(at.Start, at.End, message);

    /// <summary>The library's words, which are about the author's text: as a part of our sentence, without its full stop.</summary>
    private static string Sentence(string message)
    {
        var words = message.TrimEnd('.', ' ');
        return words.Length == 0 ? "can't be read as YAML" : char.ToLowerInvariant(words[0]) + words[1..];
    }
}
