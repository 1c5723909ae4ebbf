using Spectre.Console;
using Spectre.Console.Rendering;

namespace Tanjiren.Cli.Output;

/// <summary>
/// A table for people. Not at a terminal nothing is wrapped or coloured: the lines are for grep then. Cells are text, never markup.
/// </summary>
internal sealed class TableView(CliContext cli)
{
    private readonly Table table = new Table().Border(TableBorder.None).HideRowSeparators();

    public TableView Columns(params ReadOnlySpan<string> titles)
    {
        foreach (var title in titles)
            table.AddColumn(new TableColumn(new Spectre.Console.Text(title, new Style(decoration: Decoration.Bold))) { NoWrap = true, Padding = new Padding(0, 0, 3, 0) });
        return this;
    }

    public TableView Row(params ReadOnlySpan<Cell> cells)
    {
        var row = new List<IRenderable>();
        foreach (var cell in cells)
            row.Add(new Spectre.Console.Text(Text.Safe(cell.Content), new Style(cell.Color)));
        table.AddRow(row);
        return this;
    }

    public void Write()
    {
        var buffer = new StringWriter { NewLine = "\n" };
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = cli.UseColor ? AnsiSupport.Yes : AnsiSupport.No,
            ColorSystem = cli.UseColor ? ColorSystemSupport.Standard : ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(buffer),
        });
        // Spectre folds cells to fit; a cut id or name is of no use, so a narrow terminal wraps the line itself.
        console.Profile.Width = 10_000;
        console.Write(table);
        foreach (var line in buffer.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)) cli.Out.WriteLine(line.TrimEnd());
    }
}

/// <summary>A cell, coloured by what its state means.</summary>
internal readonly record struct Cell(string? Content, Color? Color = null)
{
    public static implicit operator Cell(string? content) => new(content);

    public static Cell Good(string content) => new(content, Spectre.Console.Color.Green);
    public static Cell Bad(string content) => new(content, Spectre.Console.Color.Red);
    public static Cell Warn(string content) => new(content, Spectre.Console.Color.Yellow);
}
