namespace Tanjiren.Cli;

/// <summary>An expected failure of this program, worded for the person at the keyboard; ends it with <see cref="ExitCode.OwnFailure"/>.</summary>
internal sealed class CliException(string message, string? hint = null, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What to do next.</summary>
    public string? Hint { get; } = hint;
}
