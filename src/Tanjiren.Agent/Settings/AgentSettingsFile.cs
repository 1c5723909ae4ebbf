namespace Tanjiren.Agent.Settings;

/// <summary>What is wrong in <c>agent.yaml</c>, and where; lines and columns count from 1.</summary>
internal sealed record SettingsFault(string File, long Line, long Column, string Message)
{
    /// <summary>As compilers say it, so that editors find the place.</summary>
    public override string ToString() => $"{File}:{Line}:{Column}: {Message}";
}

/// <summary>The settings are meaningful only without faults.</summary>
internal sealed record SettingsRead(AgentSettings Settings, IReadOnlyList<SettingsFault> Faults)
{
    /// <summary>What is left out, and lets the agent start all the same.</summary>
    public IReadOnlyList<SettingsFault> Warnings { get; init; } = [];
}

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
            using var file = File.OpenRead(path);
            if (file.Length > MaxBytes) return Unread(path, $"the file has {file.Length} bytes; at most {MaxBytes} are read");
            using var reader = new StreamReader(file);
            text = reader.ReadToEnd();
        }
        // A link whose file is missing is no absent file: an owner's caps are somewhere, and not here.
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException && new FileInfo(path).LinkTarget is null)
        {
            return new SettingsRead(new AgentSettings(), []);
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
        var (faults, warnings) = (new List<SettingsFault>(), new List<SettingsFault>());
        var root = SettingsYaml.Read(text, (line, column, message) => faults.Add(new SettingsFault(path, line, column, message)));
        var settings = SettingsReader.Read(root, new SettingsFields(path, faults, warnings));
        return new SettingsRead(settings, InOrder(faults)) { Warnings = InOrder(warnings) };
    }

    private static List<SettingsFault> InOrder(List<SettingsFault> faults) => [.. faults.OrderBy(f => f.Line).ThenBy(f => f.Column)];

    private static SettingsRead Unread(string path, string message) => new(new AgentSettings(), [new SettingsFault(path, 1, 1, message)]);
}
