namespace Tanjiren.Cli;

/// <summary>An expected failure of this program, worded for the person at the keyboard; ends it with <see cref="ExitCode.OwnFailure"/>.</summary>
internal class CliException(string message, string? hint = null, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What to do next.</summary>
    public string? Hint { get; } = hint;
}

/// <summary>The stored sign-in is no good any more: it was ended, ran out, or is gone.</summary>
internal sealed class SignInEndedException(string message, string hint, Exception? inner = null) : CliException(message, hint, inner);
