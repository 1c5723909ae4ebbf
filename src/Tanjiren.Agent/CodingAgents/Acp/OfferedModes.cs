using System.Text.Json;

namespace Tanjiren.Agent.CodingAgents.Acp;

/// <summary>The modes that a new session has, in whichever of the two ways the agent says them.</summary>
internal sealed class OfferedModes
{
    private const string Category = "mode";

    private readonly List<(string Option, string Value)> byOption = [];

    public OfferedModes(NewSessionResult session)
    {
        var modes = AcpCodec.Read(session.Modes, AcpJson.Default.SessionModes);
        ByMode = [.. (modes?.AvailableModes ?? []).Select(m => m?.Id).OfType<string>()];
        Current = modes?.CurrentModeId;
        if (session.ConfigOptions is not { ValueKind: JsonValueKind.Array } options) return;
        foreach (var element in options.EnumerateArray())
        {
            if (AcpCodec.Read(element, AcpJson.Default.ConfigOption) is not { Id: { } id } option || (option.Category != Category && id != Category)) continue;
            Current ??= option.CurrentValue is { } value ? AcpCodec.StringOf(value) : null;
            foreach (var one in Values(option.Options)) byOption.Add((id, one));
        }
    }

    public IReadOnlyList<string> ByMode { get; }

    public string? Current { get; }

    /// <summary>The configuration option that has this mode among its values.</summary>
    public string? OptionOf(string mode) => byOption.FirstOrDefault(o => o.Value == mode).Option;

    public string Describe() => ByMode.Concat(byOption.Select(o => o.Value)).Distinct().ToList() is { Count: > 0 } all ? $"it has {string.Join(", ", all)}" : "it has none";

    private static IEnumerable<string> Values(JsonElement? options)
    {
        if (options is not { ValueKind: JsonValueKind.Array } list) yield break;
        foreach (var one in list.EnumerateArray())
        {
            if (AcpCodec.StringOf(one, "value") is { } value) yield return value;
            else if (one.ValueKind == JsonValueKind.Object && one.TryGetProperty("options", out var inner))
                foreach (var nested in Values(inner)) yield return nested;
        }
    }
}
