using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Which workstations may run a step, in one canonical JSON form: equal selectors are equal text, so they are stored once. Resource requests are
/// conditions on the labels that agents announce (cpuCount, memoryMb, gpuCount).
/// </summary>
internal sealed record TargetSelector
{
    /// <summary>Ids, sorted; null: any workstation.</summary>
    public IReadOnlyList<string>? Instances { get; init; }
    public IReadOnlyList<string> Tags { get; init; } = [];
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();
    /// <summary>Resource requests, beside the label conditions: where both name one label, both must hold.</summary>
    public IReadOnlyDictionary<string, string> Resources { get; init; } = new Dictionary<string, string>();

    public static TargetSelector Create(IReadOnlyCollection<string>? instanceIds, TargetSpec targets, ResourceSpec? resources)
    {
        var labels = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in targets.Labels ?? new Dictionary<string, string>()) labels[key] = value;
        var minimums = new SortedDictionary<string, string>(StringComparer.Ordinal);
        Require(minimums, "cpuCount", resources?.Cpu);
        Require(minimums, "memoryMb", resources?.MemoryMb);
        Require(minimums, "gpuCount", resources?.GpuCount is > 0 ? resources.GpuCount : null);
        return new TargetSelector
        {
            Instances = instanceIds is null ? null : [.. instanceIds.Distinct().Order(StringComparer.Ordinal)],
            Tags = [.. (targets.Tags ?? []).Distinct().Order(StringComparer.Ordinal)],
            Labels = labels,
            Resources = minimums,
        };
    }

    public string ToCanonical() => JsonSerializer.Serialize(this, SelectorJson.Default.TargetSelector);

    public static TargetSelector Parse(string canonical) => JsonSerializer.Deserialize(canonical, SelectorJson.Default.TargetSelector)!;

    public bool Matches(string instanceId, IReadOnlyCollection<string> tags, IReadOnlyDictionary<string, string> labels) => !Unmet(instanceId, tags, labels).Any();

    /// <summary>The conditions that this machine does not meet; none: it matches.</summary>
    public IEnumerable<UnmetCondition> Unmet(string instanceId, IReadOnlyCollection<string> tags, IReadOnlyDictionary<string, string> labels)
    {
        if (Instances is not null && !Instances.Contains(instanceId)) yield return new UnmetCondition(ConditionKind.Name, instanceId, "", null);
        foreach (var tag in Tags)
            if (!tags.Contains(tag)) yield return new UnmetCondition(ConditionKind.Tag, tag, "", null);
        foreach (var (name, required) in Labels)
            if (!IsMet(name, required, labels, out var actual)) yield return new UnmetCondition(ConditionKind.Label, name, required, actual);
        foreach (var (name, required) in Resources)
            if (!IsMet(name, required, labels, out var actual)) yield return new UnmetCondition(ConditionKind.Resource, name, required, actual);
    }

    private static bool IsMet(string name, string required, IReadOnlyDictionary<string, string> labels, out string? actual) =>
        labels.TryGetValue(name, out actual) && Compare(required, actual);

    /// <summary>Equality, or a comparison of numbers when the requirement starts with <c>&gt;= &gt; &lt;= &lt;</c>.</summary>
    internal static bool Compare(string required, string actual)
    {
        var (operation, operand) = required switch
        {
            ['>', '=', .. var rest] => (">=", rest),
            ['<', '=', .. var rest] => ("<=", rest),
            ['>', .. var rest] => (">", rest),
            ['<', .. var rest] => ("<", rest),
            _ => ("=", required),
        };
        if (TryNumber(operand, out var wanted) && TryNumber(actual, out var has))
        {
            return operation switch { ">=" => has >= wanted, "<=" => has <= wanted, ">" => has > wanted, "<" => has < wanted, _ => has == wanted };
        }
        return operation == "=" && string.Equals(operand, actual, StringComparison.Ordinal);
    }

    private static bool TryNumber(string text, out decimal number) =>
        decimal.TryParse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number);

    private static void Require(SortedDictionary<string, string> minimums, string key, double? atLeast)
    {
        if (atLeast is { } minimum) minimums[key] = ">=" + minimum.ToString(CultureInfo.InvariantCulture);
    }
}

internal enum ConditionKind
{
    /// <summary>It is not among the workstations that are named.</summary>
    Name,
    Tag,
    Label,
    Resource,
}

/// <summary>What a machine lacks. <see cref="Required"/>: of a label or resource, as the selector has it; <see cref="Actual"/>: what the machine announces, null when nothing.</summary>
internal readonly record struct UnmetCondition(ConditionKind Kind, string Name, string Required, string? Actual);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(TargetSelector))]
internal sealed partial class SelectorJson : JsonSerializerContext;
