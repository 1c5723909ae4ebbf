using System.Globalization;

namespace Tanjiren.Agent.Settings;

/// <summary>Takes values out of the parts of the file, and says of each that is not what it must be: setting, value, what to give instead.</summary>
internal sealed class SettingsFields(string file, List<SettingsFault> faults, List<SettingsFault> warnings)
{
    private const int ShownLength = 60;

    public void Fault(SettingsPart at, string message) => faults.Add(new SettingsFault(file, at.Line, at.Column, message));

    public void Warn(SettingsPart at, string message) => warnings.Add(new SettingsFault(file, at.Line, at.Column, message));

    /// <summary>The entries of a map with known keys; empty when there is nothing, or no map.</summary>
    public IReadOnlyDictionary<string, SettingsPart> Of(SettingsPart? part, string path, IReadOnlyList<string> known)
    {
        var found = new Dictionary<string, SettingsPart>();
        foreach (var (key, value) in Entries(part, path))
        {
            if (known.Contains(key.Value))
            {
                if (value is not SettingsText { IsNothing: true }) found[key.Value] = value;
                continue;
            }
            var near = known.FirstOrDefault(k => k.StartsWith(key.Value, StringComparison.OrdinalIgnoreCase) || key.Value.StartsWith(k, StringComparison.OrdinalIgnoreCase));
            Fault(key, $"{Under(path, Shown(key.Value))} is no setting; {(near is null ? "" : $"did you mean {near}? ")}{(path.Length == 0 ? "The file" : path)} takes {string.Join(", ", known)}");
        }
        return found;
    }

    /// <summary>The entries of a map with free keys, each key once.</summary>
    public IReadOnlyList<(SettingsText Key, SettingsPart Value)> Entries(SettingsPart? part, string path)
    {
        if (part is null or SettingsText { IsNothing: true }) return [];
        if (part is not SettingsMap map)
        {
            Fault(part, $"{(path.Length == 0 ? "the file" : path)} is {Kind(part)}; give names with values, for example{(path.Length == 0 ? " limits:" : "")} {{ name: value }}");
            return [];
        }
        var entries = new Dictionary<string, (SettingsText, SettingsPart)>();
        foreach (var (key, value) in map.Entries)
        {
            if (!entries.TryAdd(key.Value, (key, value)))
                Fault(key, $"{Under(path, Shown(key.Value))} stands here a second time, first in line {entries[key.Value].Item1.Line}; remove one");
        }
        return [.. entries.Values];
    }

    /// <summary>Null: absent, or a fault.</summary>
    public int? Whole(SettingsPart? part, string path, int min, int max)
    {
        if (part is null) return null;
        if (part is SettingsText { IsPlain: true } text && int.TryParse(text.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) && value >= min && value <= max) return value;
        Fault(part, $"{path} is {Described(part)}; give a whole number from {min} to {max}");
        return null;
    }

    /// <summary>Null: absent, or a fault.</summary>
    public double? Amount(SettingsPart? part, string path, int max)
    {
        if (part is null) return null;
        if (part is SettingsText { IsPlain: true } text && double.TryParse(text.Value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value) && value > 0 && value <= max) return value;
        Fault(part, $"{path} is {Described(part)}; give a number above 0 and at most {max}, for example 2 or 0.5");
        return null;
    }

    /// <summary>One line of text, not empty; null: a fault.</summary>
    public string? Text(SettingsPart part, string path, int max)
    {
        if (Value(part, path) is not { } text) return null;
        if (text.Length >= 1 && text.Length <= max && !text.Any(char.IsControl)) return text;
        Fault(part, $"{path} is '{Shown(text)}'; give 1 to {max} characters, none of them a control character");
        return null;
    }

    /// <summary>Any text; null: a fault. Values may be secrets: none is shown.</summary>
    public string? Value(SettingsPart part, string path)
    {
        if (part is SettingsText { IsNothing: false } text && !text.Value.Contains('\0')) return text.Value;
        Fault(part, $"{path} is {(part is SettingsText { IsNothing: true } ? "nothing" : part is SettingsText ? "text with a NUL character" : Kind(part))}; give text");
        return null;
    }

    /// <summary>A list of texts; those that are none are left out.</summary>
    public IReadOnlyList<string> Texts(SettingsPart? part, string path, int max)
    {
        if (part is null) return [];
        if (part is not SettingsList list)
        {
            Fault(part, $"{path} is {Described(part)}; give a list, for example [one, two]");
            return [];
        }
        if (list.Items.Count > max) Fault(part, $"{path} has {list.Items.Count} entries; give at most {max}");
        var texts = new List<string>();
        for (var i = 0; i < list.Items.Count; i++)
            if (Value(list.Items[i], $"{path}[{i}]") is { } text) texts.Add(text);
        return texts;
    }

    /// <summary>What may be printed of a value: one short line.</summary>
    public static string Shown(string value)
    {
        var line = new string([.. value.Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c)]);
        return line.Length <= ShownLength ? line : line[..ShownLength] + "…";
    }

    private static string Under(string path, string key) => path.Length == 0 ? key : $"{path}.{key}";

    private static string Described(SettingsPart part) => part is SettingsText text ? text.IsPlain ? $"'{Shown(text.Value)}'" : $"'{Shown(text.Value)}' in quotes" : Kind(part);

    private static string Kind(SettingsPart part) => part switch { SettingsList => "a list", SettingsMap => "a map", _ => "text" };
}
