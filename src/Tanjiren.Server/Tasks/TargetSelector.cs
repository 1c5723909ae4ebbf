using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Which workstations may run a step, in one canonical JSON form: equal selectors are equal text, so they are stored once. Resource requests are
/// conditions on the labels that agents announce (cpuCount, memoryMb, gpuCount), and a prompt is one on the coding agents that they announce.
/// </summary>
internal sealed record TargetSelector
{
    /// <summary>Any coding agent will do. No name looks like it.</summary>
    public const string AnyCodingAgent = "*";

    /// <summary>Ids, sorted; null: any workstation.</summary>
    public IReadOnlyList<string>? Instances { get; init; }
    public IReadOnlyList<string> Tags { get; init; } = [];
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();
    /// <summary>Resource requests, beside the label conditions: where both name one label, both must hold.</summary>
    public IReadOnlyDictionary<string, string> Resources { get; init; } = new Dictionary<string, string>();
    /// <summary>The coding agent that the machine must have, or <see cref="AnyCodingAgent"/>; null: it needs none, and the canonical text does not mention it.</summary>
    public string? CodingAgent { get; init; }

    /// <summary>Where this task may run.</summary>
    public static TargetSelector Of(CreateTaskRequest spec, IReadOnlyCollection<string>? instanceIds) =>
        Create(instanceIds, spec.Targets!, spec.Resources) with { CodingAgent = spec.Mode is null or TaskMode.Command ? null : spec.CodingAgent ?? AnyCodingAgent };

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

    /// <param name="instanceId">The machine.</param>
    /// <param name="tags">Those that people gave it.</param>
    /// <param name="labels">Those that it announces.</param>
    /// <param name="codingAgents">Those that it announces; null: none.</param>
    public bool Matches(string instanceId, IReadOnlyCollection<string> tags, IReadOnlyDictionary<string, string> labels, IReadOnlyCollection<string>? codingAgents = null) =>
        !Unmet(instanceId, tags, labels, codingAgents).Any();

    /// <summary>The conditions that this machine does not meet; none: it matches.</summary>
    public IEnumerable<UnmetCondition> Unmet(
        string instanceId, IReadOnlyCollection<string> tags, IReadOnlyDictionary<string, string> labels, IReadOnlyCollection<string>? codingAgents = null)
    {
        if (Instances is not null && !Instances.Contains(instanceId)) yield return new UnmetCondition(ConditionKind.Name, instanceId, "", null);
        foreach (var tag in Tags)
            if (!tags.Contains(tag)) yield return new UnmetCondition(ConditionKind.Tag, tag, "", null);
        foreach (var (name, required) in Labels)
            if (!IsMet(name, required, labels, out var actual)) yield return new UnmetCondition(ConditionKind.Label, name, required, actual);
        foreach (var (name, required) in Resources)
            if (!IsMet(name, required, labels, out var actual)) yield return new UnmetCondition(ConditionKind.Resource, name, required, actual);
        if (CodingAgent is { } agent && (agent == AnyCodingAgent ? codingAgents is not { Count: > 0 } : codingAgents?.Contains(agent) != true))
            yield return new UnmetCondition(ConditionKind.CodingAgent, agent, "", null);
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
    /// <summary>It announces no such coding agent, or none at all.</summary>
    CodingAgent,
}

/// <summary>What a machine lacks. <see cref="Required"/>: of a label or resource, as the selector has it; <see cref="Actual"/>: what the machine announces, null when nothing.</summary>
internal readonly record struct UnmetCondition(ConditionKind Kind, string Name, string Required, string? Actual);

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(TargetSelector))]
internal sealed partial class SelectorJson : JsonSerializerContext;
