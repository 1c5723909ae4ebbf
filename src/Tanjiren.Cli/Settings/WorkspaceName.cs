namespace Tanjiren.Cli.Settings;

/// <summary>A workspace's name is also the directory of its agent, so it is kept to what every file system takes.</summary>
internal static class WorkspaceName
{
    private const int MaxLength = 64;

    public static string Check(string name) => IsValid(name) ? name : throw new CliException(
        $"'{Output.Text.Safe(name)}' can't name a workspace", $"use up to {MaxLength} letters, digits, '-', '_' and '.', not starting with '.'");

    /// <summary>A valid name as close to <paramref name="text"/> (an organization's name, a host) as it gets.</summary>
    public static string From(string text)
    {
        var slug = new string([.. text.Trim().ToLowerInvariant().Select(c => Allowed(c) ? c : '-')]).Trim('-', '.');
        return slug.Length == 0 ? "workspace" : slug[..Math.Min(slug.Length, MaxLength)];
    }

    private static bool IsValid(string name) => name.Length is > 0 and <= MaxLength && name[0] != '.' && name.All(Allowed);

    private static bool Allowed(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.';
}
