namespace Tanjiren.Agent.Settings;

/// <summary>What is wrong in <c>agent.yaml</c>, and where; lines and columns count from 1.</summary>
internal sealed record SettingsFault(string File, long Line, long Column, string Message)
{
    /// <summary>As compilers say it, so that editors find the place.</summary>
    public override string ToString() => $"{File}:{Line}:{Column}: {Message}";
}

/// <summary>The settings are meaningful only without faults.</summary>
internal sealed record SettingsRead(AgentSettings Settings, IReadOnlyList<SettingsFault> Faults);

/// <summary><c>~/.tanvrit/agent.yaml</c> (A-05), read once at the agent's start. A file that is not there, or is empty, means every default.</summary>
internal static class AgentSettingsFile
{
    public const string Name = "agent.yaml";

    private const int MaxBytes = 256 * 1024;

    public static SettingsRead Read(string path)
    {
        string text;
        try
        {
            var file = new FileInfo(path);
            if (!file.Exists) return new SettingsRead(new AgentSettings(), []);
            if (file.Length > MaxBytes) return Unread(path, $"the file has {file.Length} bytes; at most {MaxBytes} are read");
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Unread(path, $"the file can't be read ({e.Message}); make it readable for the user that runs the agent");
        }
        return Parse(path, text);
    }

    /// <summary>Everything that is wrong is found in one go, in the order of the file.</summary>
    public static SettingsRead Parse(string path, string text)
    {
        var faults = new List<SettingsFault>();
        var root = SettingsYaml.Read(text, (line, column, message) => faults.Add(new SettingsFault(path, line, column, message)));
        var settings = SettingsReader.Read(path, root, faults);
        return new SettingsRead(settings, [.. faults.OrderBy(f => f.Line).ThenBy(f => f.Column)]);
    }

    private static SettingsRead Unread(string path, string message) => new(new AgentSettings(), [new SettingsFault(path, 1, 1, message)]);
}
