namespace Tanjiren.Protocol;

/// <summary>
/// What a coding agent is called, on a task, in <c>agent.yaml</c> and as a machine's capability <c>agent:NAME</c>: a lower case letter or digit, then lower case letters,
/// digits, <c>. _ -</c>, at most 64 in all. For example <c>claude</c>, <c>codex</c>, <c>opencode</c>.
/// </summary>
public static class CodingAgentName
{
    /// <summary>How a worker's capability begins that names one.</summary>
    public const string CapabilityPrefix = "agent:";

    /// <summary>For messages: what a name must be.</summary>
    public const string Rule = "has 1 to 64 lower case letters, digits, '.', '_' and '-', the first of them a letter or digit";

    /// <summary>Whether it is one.</summary>
    public static bool IsValid(string? name) =>
        name is { Length: > 0 and <= 64 } && IsLetterOrDigit(name[0]) && name.All(c => IsLetterOrDigit(c) || c is '.' or '_' or '-');

    private static bool IsLetterOrDigit(char c) => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c);
}
