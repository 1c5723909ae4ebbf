using System.Text;
using System.Text.RegularExpressions;
using Tanjiren.Protocol;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Governance;

/// <summary>A document that was read. <see cref="Doctrine"/> means something only without <see cref="Faults"/>.</summary>
internal sealed record DoctrineReading(Doctrine Doctrine, IReadOnlyList<DoctrineFault> Faults);

/// <summary>Turns a document into rules. Everything that is wrong is told at once, each with its line and column; pure but for the server's zones.</summary>
internal sealed partial class DoctrineReader
{
    internal const int MaxRules = 500;
    private const int MaxPatterns = 500;
    private const int MaxValues = 100;
    private const int MaxPatternLength = 1000;
    private const int MaxFaults = 20;

    private static readonly string[] Shared = ["name", "because", "when"];

    private readonly List<DoctrineFault> _faults = [];
    private readonly List<DoctrineRule> _rules = [];
    private readonly List<DoctrineRule> _toolRules = [];
    private readonly Dictionary<string, YamlPart> _names = new(StringComparer.OrdinalIgnoreCase);
    private readonly PatternSet _patterns = new();
    private readonly PatternSet _toolPatterns = new();
    private readonly Dictionary<Pattern, YamlText> _patternPlaces = [];

    /// <param name="document">YAML.</param>
    /// <param name="compile">Makes the patterns' filters too, and tells which patterns can't be matched: up to seconds of a processor, so never within a transaction.</param>
    public static DoctrineReading Read(string document, bool compile = true)
    {
        var reader = new DoctrineReader();
        reader.ReadDocument(document, compile);
        return new DoctrineReading(new Doctrine(reader._rules, reader._patterns, reader._toolRules, reader._toolPatterns), [.. reader._faults.OrderBy(f => f.Line).ThenBy(f => f.Column).Take(MaxFaults)]);
    }

    private void ReadDocument(string document, bool compile)
    {
        if (Encoding.UTF8.GetByteCount(document) > WireLimits.MaxDoctrineBytes)
        {
            _faults.Add(new DoctrineFault(1, 1, $"the document has more than {WireLimits.MaxDoctrineBytes} bytes"));
            return;
        }
        if (!YamlReader.IsText(document))
        {
            _faults.Add(new DoctrineFault(1, 1, "the document contains control characters"));
            return;
        }
        if (YamlReader.Read(document, _faults) is not { } root || root is YamlText { IsNothing: true }) return;
        if (Fields(root, "forbid", "approvals", "freeze", "permissions") is not { } parts) return;
        ReadRules(parts, "forbid", _rules, [], (fields, rule) => rule with { When = ReadCondition(fields, mayBeAbsent: false) });
        ReadRules(parts, "approvals", _rules, ["class", "selfApproval", "inherit"], ReadApproval);
        ReadRules(parts, "freeze", _rules, ["effect", "zone", "cron", "duration", "from", "to"], ReadFreeze);
        ReadRules(parts, "permissions", _toolRules, ["answer"], ReadPermission);
        _patterns.Close();
        _toolPatterns.Close();
        if (!compile) return;
        foreach (var pattern in _patterns.Compile().Concat(_toolPatterns.Compile()))
            Fault(_patternPlaces[pattern], "is no pattern that can be matched in linear time: no lookarounds, backreferences or atomic groups, and not thousands of repeats");
    }

    private void ReadRules(YamlFields parts, string part, List<DoctrineRule> rules, string[] further, Func<YamlFields, DoctrineRule, DoctrineRule> read)
    {
        if (parts[part] is not { } node || node is YamlText { IsNothing: true }) return;
        if (node is not YamlList list)
        {
            Fault(node, $"{part} is a list of rules, each after a dash");
            return;
        }
        foreach (var item in list.Items)
        {
            if (_rules.Count + _toolRules.Count == MaxRules)
            {
                Fault(item, $"this rule is one too many: there may be {MaxRules}");
                return;
            }
            if (Fields(item, [.. Shared, .. further]) is not { } fields) continue;
            var rule = new DoctrineRule { Name = ReadName(fields), Effect = RuleEffect.Forbid, When = RuleCondition.Always, Because = Line(fields, "because", WireLimits.MaxIntentLength) };
            rules.Add(read(fields, rule));
        }
    }

    private DoctrineRule ReadApproval(YamlFields fields, DoctrineRule rule) => rule with
    {
        Effect = Word(fields, "class", required: true, ("sensitive_write", RuleEffect.SensitiveWrite), ("production_mutation", RuleEffect.ProductionMutation)),
        When = ReadCondition(fields, mayBeAbsent: false),
        SelfApproval = Word(fields, "selfApproval", required: false, ("false", false), ("true", true)),
        Inherit = Word(fields, "inherit", required: false, ("false", false), ("true", true)),
    };

    private DoctrineRule ReadFreeze(YamlFields fields, DoctrineRule rule) => rule with
    {
        Effect = Word(fields, "effect", required: false, ("wait", RuleEffect.Wait), ("refuse", RuleEffect.Refuse)),
        When = ReadCondition(fields, mayBeAbsent: true),
        Window = ReadWindow(fields),
    };

    private FreezeWindow? ReadWindow(YamlFields fields)
    {
        var zone = TimeZoneInfo.Utc;
        if (Line(fields, "zone", WireLimits.MaxNameLength) is { } name)
        {
            if (FreezeWindow.FindZone(name) is { } found) zone = found;
            else Fault(fields["zone"]!, "zone names no time zone that this server knows; write one of the IANA database, like Europe/Berlin");
        }
        if (fields["cron"] is not null == (fields["from"] is not null))
        {
            Fault(fields.Part, "a freeze has either cron and duration, or from and to");
            return null;
        }
        return fields["cron"] is not null ? ReadRepeated(fields, zone) : ReadOnce(fields, zone);
    }

    private FreezeWindow? ReadRepeated(YamlFields fields, TimeZoneInfo zone)
    {
        Exclude(fields, "to", "belongs to from");
        if (Required(fields, "duration") is not { } length || Line(fields, "cron", 200) is not { } cron) return null;
        if (FreezeWindow.ParseDuration(length) is not { } duration)
        {
            Fault(fields["duration"]!, $"duration must be from 1m to {FreezeWindow.MaxDuration.Days}d, for example 90m, 62h or 1d12h");
            return null;
        }
        var window = FreezeWindow.Repeated(cron, duration, zone);
        if (window is null) Fault(fields["cron"]!, "cron must have five fields (minute, hour, day of the month, month, day of the week) and name a time that comes");
        return window;
    }

    private FreezeWindow? ReadOnce(YamlFields fields, TimeZoneInfo zone)
    {
        Exclude(fields, "duration", "belongs to cron");
        var (from, to) = (ReadLocal(fields, "from"), ReadLocal(fields, "to"));
        if (from is null || to is null) return null;
        var window = FreezeWindow.Between(from.Value, to.Value, zone);
        if (window is null) Fault(fields["to"]!, "to must be after from");
        return window;
    }

    private DateTime? ReadLocal(YamlFields fields, string key)
    {
        if (Required(fields, key) is not { } text) return null;
        var local = FreezeWindow.ParseLocal(text);
        if (local is null) Fault(fields[key]!, $"{key} must be a time of the zone's clock from 2000 to 2199, like 2026-12-20 18:00");
        return local;
    }

    private RuleCondition ReadCondition(YamlFields fields, bool mayBeAbsent)
    {
        if (fields["when"] is not { } node || node is YamlText { IsNothing: true })
        {
            if (!mayBeAbsent) Fault(fields.Part, "when is required: what the rule is for");
            return RuleCondition.Always;
        }
        if (Fields(node, "mode", "tags", "pattern", "role", "origin") is not { } conditions) return RuleCondition.Always;
        var condition = new RuleCondition
        {
            Modes = Values<TaskMode>(conditions, "mode", ReadMember),
            Tags = Values<string>(conditions, "tags", ReadTag),
            Patterns = Values<Pattern>(conditions, "pattern", (value, patterns) => ReadPattern(value, patterns, _patterns, Anywhere)),
            Roles = Values<Role>(conditions, "role", ReadMember),
            Origins = Values<DoctrineOrigin>(conditions, "origin", ReadMember),
        };
        if (condition.IsAlways && !mayBeAbsent) Fault(node, "when needs a condition: mode, tags, pattern, role or origin");
        return condition;
    }

    private void ReadTag(YamlText value, List<string> tags)
    {
        if (TagRules.IsValid(value.Value)) tags.Add(value.Value);
        else Fault(value, $"is no tag: 1 to {WireLimits.MaxTagLength} lower case letters, digits and . _ - : /");
    }

    private static string Anywhere(string pattern) => pattern;

    private void ReadPattern(YamlText value, List<Pattern> patterns, PatternSet into, Func<string, string> asMatched)
    {
        if (_patterns.Count + _toolPatterns.Count == MaxPatterns)
        {
            Fault(value, $"this pattern is one too many: there may be {MaxPatterns} in a document");
            return;
        }
        if (value.Value.Length is 0 or > MaxPatternLength || value.Value.Any(char.IsControl))
        {
            Fault(value, $"a pattern has 1 to {MaxPatternLength} characters in one line");
            return;
        }
        try
        {
            PatternSet.Check(value.Value);
            var pattern = into.Add(asMatched(value.Value));
            _patternPlaces[pattern] = value;
            patterns.Add(pattern);
        }
        catch (RegexParseException e)
        {
            Fault(value, $"is no regular expression, at its character {e.Offset + 1}: {Capitals().Replace(e.Error.ToString(), " $0").Trim().ToLowerInvariant()}");
        }
    }

    private void ReadMember<T>(YamlText value, List<T> members) where T : struct, Enum
    {
        foreach (var member in Enum.GetValues<T>())
        {
            if (NameOf(member) != value.Value) continue;
            members.Add(member);
            return;
        }
        Fault(value, $"must be one of {string.Join(", ", Enum.GetValues<T>().Select(NameOf))}");

        static string NameOf(T member) => member.ToString().ToLowerInvariant();
    }

    private string ReadName(YamlFields fields)
    {
        if (Required(fields, "name") is not { } name || Line(fields, "name", WireLimits.MaxNameLength) is null) return "";
        if (!_names.TryAdd(name, fields["name"]!)) Fault(fields["name"]!, $"there is a rule '{name}' in line {_names[name].Line} already");
        return name;
    }

    /// <summary>One value or a list of them; null when the key is absent.</summary>
    private List<T>? Values<T>(YamlFields fields, string key, Action<YamlText, List<T>> read)
    {
        if (fields[key] is not { } node) return null;
        var items = node is YamlList list ? list.Items : [node];
        if (items.Count is 0 or > MaxValues) Fault(node, $"{key} needs from 1 to {MaxValues} values");
        var values = new List<T>();
        foreach (var item in items.Take(MaxValues))
        {
            if (item is YamlText text) read(text, values);
            else Fault(item, $"{key} is a word, or a list of words");
        }
        return values;
    }

    private T Word<T>(YamlFields fields, string key, bool required, params ReadOnlySpan<(string Name, T Value)> words)
    {
        var names = new List<string>();
        var text = required ? Required(fields, key) : fields[key] is null ? null : Line(fields, key, WireLimits.MaxNameLength);
        foreach (var (name, value) in words)
        {
            if (name == text) return value;
            names.Add(name);
        }
        if (text is not null) Fault(fields[key]!, $"{key} must be {string.Join(" or ", names)}");
        return words[0].Value;
    }

    private string? Required(YamlFields fields, string key)
    {
        if (fields[key] is { } node and not YamlText { IsNothing: true }) return Line(fields, key, WireLimits.MaxIntentLength);
        Fault(fields.Part, $"{key} is required");
        return null;
    }

    /// <summary>Text of one line; null when it is absent, or not that.</summary>
    private string? Line(YamlFields fields, string key, int max)
    {
        if (fields[key] is not { } node || node is YamlText { IsNothing: true }) return null;
        if (node is YamlText { Value: var value } && value.Trim() is { Length: > 0 } line && line.Length <= max && !line.Any(char.IsControl)) return line;
        Fault(node, $"{key} must be text of one line, at most {max} characters");
        return null;
    }

    private void Exclude(YamlFields fields, string key, string why)
    {
        if (fields[key] is { } node) Fault(node, $"{key} {why}");
    }

    /// <summary>The entries of a map that has no other keys; null when it is no map.</summary>
    private YamlFields? Fields(YamlPart node, params string[] known)
    {
        if (node is not YamlMap map)
        {
            Fault(node, $"must be a map with the keys {string.Join(", ", known)}");
            return null;
        }
        foreach (var (key, _) in map.Entries)
            if (!known.Contains(key.Value)) Fault(key, $"there is no key '{(key.Value.Length > 40 ? key.Value[..40] + "…" : key.Value)}' here; there are {string.Join(", ", known)}");
        return new YamlFields(map);
    }

    private void Fault(YamlPart at, string message) => _faults.Add(new DoctrineFault(at.Line, at.Column, message));

    [GeneratedRegex("[A-Z]", RegexOptions.None, 1000)]
    private static partial Regex Capitals();

    /// <summary>A map by its keys.</summary>
    private sealed record YamlFields(YamlMap Part)
    {
        public YamlPart? this[string key] => Part.Entries.FirstOrDefault(entry => entry.Key.Value == key).Value;
    }
}
