using Tanjiren.Protocol;

namespace Tanjiren.Server.Problems;

/// <summary>Collects what is wrong with a body, field by field, so that one answer names everything.</summary>
internal sealed class FieldErrors
{
    private readonly SortedDictionary<string, List<string>> _errors = new(StringComparer.Ordinal);

    public bool Any => _errors.Count > 0;

    public void Add(string field, string message)
    {
        if (!_errors.TryGetValue(field, out var messages)) _errors[field] = messages = [];
        messages.Add(message);
    }

    public void Require(bool holds, string field, string message)
    {
        if (!holds) Add(field, message);
    }

    public void Range(long? value, long min, long max, string field)
    {
        if (value is { } v && (v < min || v > max)) Add(field, $"must be from {min} to {max}, not {v}");
    }

    /// <summary>Text that must be there, trimmed, of at most <paramref name="max"/> characters and without control characters.</summary>
    public string Text(string? value, int max, string field)
    {
        var text = value?.Trim() ?? "";
        if (text.Length == 0) Add(field, "is required");
        else if (text.Length > max) Add(field, $"has {text.Length} characters; at most {max} are allowed");
        else if (text.Any(char.IsControl)) Add(field, "must not contain control characters");
        return text;
    }

    /// <summary>The member <c>name</c> of something that URLs name by it or by an id of <paramref name="prefix"/>: it must be neither mistaken for one nor break a URL.</summary>
    public string Name(string? value, string prefix)
    {
        var name = Text(value, WireLimits.MaxNameLength, "name");
        Require(name.AsSpan().IndexOfAny("/\\?#%") < 0 && name is not ("." or ".."), "name", "must not contain / \\ ? # %");
        Require(!Ids.IsValid(name, prefix), "name", "must not look like an id");
        return name;
    }

    /// <summary>What is wrong with a part, under the name of the whole: <c>defaults.</c>.</summary>
    public void AddAll(FieldErrors part, string prefix)
    {
        foreach (var (field, messages) in part._errors)
            foreach (var message in messages)
                Add(prefix + field, message);
    }

    /// <summary>Text that may be absent and may have several lines; PostgreSQL can't store a NUL character.</summary>
    public void OptionalText(string? value, int max, string field)
    {
        if (value?.Length > max) Add(field, $"has {value.Length} characters; at most {max} are allowed");
        else if (value?.Contains('\0') == true) Add(field, "must not contain a NUL character");
    }

    /// <summary>What is wrong with a part of the body, under the name of that part.</summary>
    public void AddUnder(string part, FieldErrors errors)
    {
        foreach (var (field, messages) in errors._errors)
            foreach (var message in messages) Add($"{part}.{field}", message);
    }

    public Problem ToProblem() => Problem.Validation(_errors.ToDictionary(e => e.Key, e => e.Value.ToArray()));
}
