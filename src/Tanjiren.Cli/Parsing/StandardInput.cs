namespace Tanjiren.Cli.Parsing;

/// <summary>Options whose value may be <c>-</c>: the text then comes from standard input, for one of them.</summary>
internal sealed class StandardInput(CliContext cli)
{
    private bool used;

    public string? Text(string? value)
    {
        if (value != "-") return value;
        if (used) throw new CliException("- is given twice, and standard input can be read once", "give one of the texts in words");
        used = true;
        return cli.Input.ReadToEnd();
    }
}
