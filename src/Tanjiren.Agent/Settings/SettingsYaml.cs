using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Tanjiren.Agent.Settings;

/// <summary>A part of the file with its place in it; lines and columns count from 1.</summary>
internal abstract record SettingsPart(long Line, long Column);

/// <summary><paramref name="IsPlain"/>: without quotes, so that an empty one means that there is nothing.</summary>
internal sealed record SettingsText(long Line, long Column, string Value, bool IsPlain) : SettingsPart(Line, Column)
{
    public bool IsNothing => IsPlain && Value is "" or "~" or "null";
}

internal sealed record SettingsList(long Line, long Column, IReadOnlyList<SettingsPart> Items) : SettingsPart(Line, Column);

internal sealed record SettingsMap(long Line, long Column, IReadOnlyList<(SettingsText Key, SettingsPart Value)> Entries) : SettingsPart(Line, Column);

/// <summary>
/// The YAML that settings need: maps, lists and text, by the library's parser alone (its document model recurses until the stack ends). Aliases, anchors and tags are refused: a reader of the
/// file must see what it says. The control plane's reader of doctrines is its twin; the agent may not depend on the server, and the wire's project on nothing.
/// </summary>
internal sealed class SettingsYaml
{
    private const int MaxDepth = 6;

    private readonly IParser parser;

    private SettingsYaml(string text) => parser = new Parser(new StringReader(text));

    /// <summary>The root; null when there is nothing but comments, or a fault. A text that is no YAML has one fault, where the parser gave up.</summary>
    public static SettingsPart? Read(string text, Action<long, long, string> fault)
    {
        try
        {
            return new SettingsYaml(text).ReadDocument();
        }
        catch (YamlException e)
        {
            fault(Math.Max(1, e.Start.Line), Math.Max(1, e.Start.Column), Sentence(e.Message));
        }
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException or InvalidOperationException or EndOfStreamException)
        {
            // The library's scanner has a few ways to fail over nonsense without saying where.
            fault(1, 1, "this can't be read as YAML; start again from `limits:` or an empty file");
        }
        return null;
    }

    private SettingsPart? ReadDocument()
    {
        parser.Consume<StreamStart>();
        if (parser.Accept<StreamEnd>(out _)) return null;
        parser.Consume<DocumentStart>();
        var root = ReadPart(0);
        parser.Consume<DocumentEnd>();
        return parser.Accept<StreamEnd>(out _) ? root : throw Fault(parser.Current!, "a second document begins here; keep one and remove the line ---");
    }

    private SettingsPart ReadPart(int depth)
    {
        var current = parser.Current ?? throw new InvalidOperationException("The document ended within a part.");
        if (depth > MaxDepth) throw Fault(current, "this is nested more deeply than any setting; check the indentation");
        if (current is AnchorAlias) throw Fault(current, "this is an alias (*); write out what it stands for");
        if (current is NodeEvent { Anchor.IsEmpty: false }) throw Fault(current, "this has an anchor (&); there are no aliases here, remove it");
        if (current is NodeEvent { Tag.IsEmpty: false }) throw Fault(current, "this has a tag (!); there are none here, remove it");
        var (line, column) = (current.Start.Line, current.Start.Column);
        if (parser.TryConsume<Scalar>(out var scalar)) return new SettingsText(line, column, scalar.Value, scalar.Style == ScalarStyle.Plain);
        if (parser.TryConsume<SequenceStart>(out _))
        {
            var items = new List<SettingsPart>();
            while (!parser.TryConsume<SequenceEnd>(out _)) items.Add(ReadPart(depth + 1));
            return new SettingsList(line, column, items);
        }
        parser.Consume<MappingStart>();
        var entries = new List<(SettingsText, SettingsPart)>();
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            var start = parser.Current!;
            if (ReadPart(depth + 1) is not SettingsText key) throw Fault(start, "a key must be a word");
            entries.Add((key, ReadPart(depth + 1)));
        }
        return new SettingsMap(line, column, entries);
    }

    private static YamlException Fault(ParsingEvent at, string message) => new(at.Start, at.End, message);

    /// <summary>The library's words, which are about the author's text: as a part of our sentence, without its full stop.</summary>
    private static string Sentence(string message)
    {
        var words = message.TrimEnd('.', ' ');
        return words.Length == 0 ? "this can't be read as YAML" : char.ToLowerInvariant(words[0]) + words[1..];
    }
}
