namespace Tanjiren.Cli.Output;

/// <summary>Aligned <c>name: value</c> lines for one thing; absent values leave no line.</summary>
internal sealed class FieldList
{
    private readonly List<(string Name, string Value)> fields = [];

    public FieldList Add(string name, string? value)
    {
        if (!string.IsNullOrEmpty(value)) fields.Add((name, Text.Safe(value)));
        return this;
    }

    public void Write(TextWriter writer)
    {
        var width = fields.Max(f => f.Name.Length) + 2;
        foreach (var (name, value) in fields) writer.WriteLine($"{(name + ":").PadRight(width)}{value}");
    }
}
