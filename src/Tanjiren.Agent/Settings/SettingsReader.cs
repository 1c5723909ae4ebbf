using Tanjiren.Protocol;

namespace Tanjiren.Agent.Settings;

/// <summary>From the parts of <c>agent.yaml</c> to <see cref="AgentSettings"/>: what each setting is, and which values it takes. What is wrong is said and left out, so that the rest is read too.</summary>
internal sealed class SettingsReader
{
    /// <summary>What the agent detects and the flags add must have room beside it.</summary>
    private const int MaxLabels = WireLimits.MaxLabels - 20;
    private const int MaxListed = 1000;
    private const int MinMaskedLength = 6;

    private static readonly string[] Root = ["limits", "idleSuspendSeconds", "labels", "maxConcurrent", "codingAgents", "mask"];
    private static readonly string[] LimitKeys = ["cpu", "memoryMb", "gpuCount"];
    private static readonly string[] AgentKeys = ["command", "protocol", "environment", "mode"];
    private static readonly string[] MaskKeys = ["environment", "literals"];

    private readonly SettingsFields fields;

    private SettingsReader(SettingsFields fields) => this.fields = fields;

    public static AgentSettings Read(SettingsPart? root, SettingsFields fields) => new SettingsReader(fields).ReadRoot(fields.Of(root, "", Root));

    private AgentSettings ReadRoot(IReadOnlyDictionary<string, SettingsPart> root) => new()
    {
        Limits = ReadLimits(fields.Of(root.GetValueOrDefault("limits"), "limits", LimitKeys)),
        IdleSuspendSeconds = ReadIdleSuspend(root.GetValueOrDefault("idleSuspendSeconds")),
        Labels = ReadLabels(root.GetValueOrDefault("labels")),
        MaxConcurrent = fields.Whole(root.GetValueOrDefault("maxConcurrent"), "maxConcurrent", 1, 1000),
        CodingAgents = ReadCodingAgents(root.GetValueOrDefault("codingAgents")),
        Mask = ReadMask(fields.Of(root.GetValueOrDefault("mask"), "mask", MaskKeys)),
    };

    private LimitSettings ReadLimits(IReadOnlyDictionary<string, SettingsPart> limits) => new()
    {
        Cpu = fields.Amount(limits.GetValueOrDefault("cpu"), "limits.cpu", 4096),
        MemoryMb = fields.Whole(limits.GetValueOrDefault("memoryMb"), "limits.memoryMb", 16, 64 * 1024 * 1024),
        GpuCount = fields.Whole(limits.GetValueOrDefault("gpuCount"), "limits.gpuCount", 0, 1024),
    };

    private int ReadIdleSuspend(SettingsPart? part)
    {
        if (fields.Whole(part, "idleSuspendSeconds", 0, 86_400) is not { } seconds) return new AgentSettings().IdleSuspendSeconds;
        if (seconds is > 0 and < 10) fields.Fault(part!, $"idleSuspendSeconds is {seconds}; give 0 (never) or 10 to 86400");
        return seconds;
    }

    private Dictionary<string, string> ReadLabels(SettingsPart? part)
    {
        var labels = new Dictionary<string, string>();
        foreach (var (name, value) in fields.Entries(part, "labels"))
        {
            if (name.Value.Length is < 1 or > 64 || name.Value.Any(char.IsControl))
                fields.Fault(name, $"labels has the name '{SettingsFields.Shown(name.Value)}'; a label's name has 1 to 64 characters, none of them a control character");
            else if (fields.Text(value, $"labels.{name.Value}", 256) is { } text)
                labels[name.Value] = text;
        }
        if (labels.Count > MaxLabels) fields.Fault(part!, $"labels has {labels.Count} entries; give at most {MaxLabels}");
        return labels;
    }

    private Dictionary<string, CodingAgentSettings> ReadCodingAgents(SettingsPart? part)
    {
        var agents = new Dictionary<string, CodingAgentSettings>();
        foreach (var (name, value) in fields.Entries(part, "codingAgents"))
        {
            var path = $"codingAgents.{SettingsFields.Shown(name.Value)}";
            if (!CodingAgentName.IsValid(name.Value))
            {
                fields.Fault(name, $"{path} is no name for a coding agent: one {CodingAgentName.Rule}");
                continue;
            }
            var agent = fields.Of(value, path, AgentKeys);
            if (!agent.TryGetValue("command", out var command))
            {
                fields.Fault(name, $"{path}.command is missing; give program and arguments as a list, for example command: [claude-agent-acp]");
                continue;
            }
            var words = fields.Texts(command, $"{path}.command", MaxListed);
            if (words.Count == 0 && command is SettingsList) fields.Fault(command, $"{path}.command is empty; give program and arguments as a list, for example [claude-agent-acp]");
            agents[name.Value] = new CodingAgentSettings
            {
                Command = words,
                Protocol = ReadProtocol(agent.GetValueOrDefault("protocol"), $"{path}.protocol"),
                Environment = ReadEnvironment(agent.GetValueOrDefault("environment"), $"{path}.environment"),
                Mode = agent.GetValueOrDefault("mode") is { } mode ? fields.Text(mode, $"{path}.mode", 100) : null,
            };
        }
        return agents;
    }

    private CodingAgentProtocol ReadProtocol(SettingsPart? part, string path)
    {
        if (part is null || fields.Text(part, path, 100) is not { } word) return CodingAgentProtocol.Acp;
        if (word is not ("acp" or "stdin")) fields.Fault(part, $"{path} is '{SettingsFields.Shown(word)}'; give acp or stdin");
        return word == "stdin" ? CodingAgentProtocol.Stdin : CodingAgentProtocol.Acp;
    }

    private Dictionary<string, string> ReadEnvironment(SettingsPart? part, string path)
    {
        var environment = new Dictionary<string, string>();
        foreach (var (name, value) in fields.Entries(part, path))
        {
            if (!IsVariableName(name.Value)) fields.Fault(name, $"{path} has '{SettingsFields.Shown(name.Value)}', which is no name of a variable; give letters, digits and underscores, no digit first");
            else if (fields.Value(value, $"{path}.{name.Value}") is { } text) environment[name.Value] = text;
        }
        return environment;
    }

    private MaskSettings ReadMask(IReadOnlyDictionary<string, SettingsPart> mask)
    {
        var names = new List<string>();
        foreach (var (item, place, name) in Masked(mask.GetValueOrDefault("environment"), "mask.environment"))
        {
            if (IsVariableName(name)) names.Add(name);
            else fields.Fault(item, $"{place} is no name of a variable; give names, the values are read from the environment");
        }
        var literals = new List<string>();
        foreach (var (item, place, value) in Masked(mask.GetValueOrDefault("literals"), "mask.literals"))
        {
            if (value.Length >= MinMaskedLength) literals.Add(value);
            else fields.Warn(item, $"{place} is not masked: it has {value.Length} characters, and what has fewer than {MinMaskedLength} stands everywhere by chance; mask a longer one");
        }
        return new MaskSettings { Environment = names, Literals = literals };
    }

    /// <summary>What stands under mask, and where. No message shows any of it, not even as a name that is none: it is there because nobody shall read it.</summary>
    private List<(SettingsPart Item, string Place, string Value)> Masked(SettingsPart? part, string path)
    {
        var found = new List<(SettingsPart, string, string)>();
        if (part is null) return found;
        if (part is not SettingsList list)
        {
            fields.Fault(part, $"{path} is not a list; give one a line, each after a dash");
            return found;
        }
        if (list.Items.Count > MaxListed) fields.Fault(part, $"{path} has {list.Items.Count} entries; give at most {MaxListed}");
        for (var i = 0; i < list.Items.Count; i++)
        {
            if (list.Items[i] is SettingsText { IsNothing: false } text) found.Add((text, $"{path}[{i}]", text.Value));
            else fields.Fault(list.Items[i], $"{path}[{i}] is not text; put it in quotes");
        }
        return found;
    }

    private static bool IsVariableName(string name) =>
        name.Length is > 0 and <= 128 && !char.IsAsciiDigit(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_');
}
