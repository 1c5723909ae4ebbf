using System.CommandLine;

namespace Tanjiren.Cli.Parsing;

/// <summary>A command with what its help says besides its description.</summary>
internal sealed class CliCommand(string name, string description) : Command(name, description)
{
    /// <summary>Further paragraphs, shown in the command's own help only.</summary>
    public string? Details { get; init; }

    /// <summary>Whole command lines.</summary>
    public IReadOnlyList<string> Examples { get; init; } = [];

    /// <summary>The part of the usage line after the options, for example <c>-- COMMAND [ARGS…]</c>.</summary>
    public string? Operands { get; init; }
}
