using System.CommandLine;
using System.CommandLine.Invocation;

namespace Tanjiren.Cli.Parsing;

/// <summary>
/// Help in the shape of this program: usage with the operands in the right order, options, examples. System.CommandLine's own help puts options behind
/// <c>COMMAND ARGS</c>, where they would be the command's.
/// </summary>
internal sealed class HelpText : SynchronousCommandLineAction
{
    private const int Width = 100;

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        Write(parseResult.CommandResult.Command, parseResult.InvocationConfiguration.Output);
        return ExitCode.Ok;
    }

    public static void Write(Command command, TextWriter writer)
    {
        Wrapped(writer, command.Description ?? "", "");
        writer.WriteLine();
        writer.WriteLine("Usage:");
        writer.WriteLine($"  {Usage(command)}");
        if (command is CliCommand { Details: { } details })
        {
            writer.WriteLine();
            foreach (var paragraph in details.Split('\n')) Wrapped(writer, paragraph, "");
        }
        Section(writer, "Commands:", command.Subcommands.Where(c => !c.Hidden).Select(c => (c.Name, c.Description ?? "")));
        Section(writer, "Arguments:", command.Arguments.Where(a => !a.Hidden).Select(a => (a.HelpName ?? a.Name, a.Description ?? "")));
        Section(writer, "Options:", Options(command).Select(o => (Label(o), o.Description ?? "")));
        if (command is CliCommand { Examples: { Count: > 0 } examples })
        {
            writer.WriteLine();
            writer.WriteLine("Examples:");
            foreach (var example in examples) writer.WriteLine($"  {example}");
        }
    }

    /// <summary>The name as it is typed: <c>tanvrit-compute jobs run</c>.</summary>
    public static string FullName(Command command)
    {
        var parent = command.Parents.OfType<Command>().FirstOrDefault();
        return parent is null ? CommandTree.ProgramName : $"{FullName(parent)} {command.Name}";
    }

    private static IEnumerable<Option> Options(Command command)
    {
        var inherited = command.Parents.OfType<Command>().FirstOrDefault() is { } parent ? Options(parent).Where(o => o.Recursive) : [];
        return command.Options.Where(o => !o.Hidden).OrderBy(o => o is System.CommandLine.Help.HelpOption).Concat(inherited);
    }

    private static string Usage(Command command)
    {
        var usage = FullName(command);
        if (command.Subcommands.Any(c => !c.Hidden)) usage += command.Action is null ? " COMMAND" : " [COMMAND]";
        if (Options(command).Any()) usage += " [options]";
        if (command is CliCommand { Operands: { } operands }) return $"{usage} {operands}";
        foreach (var argument in command.Arguments)
        {
            var name = (argument.HelpName ?? argument.Name) + (argument.Arity.MaximumNumberOfValues > 1 ? "…" : "");
            usage += argument.Arity.MinimumNumberOfValues == 0 ? $" [{name}]" : $" {name}";
        }
        return usage;
    }

    private static string Label(Option option)
    {
        var names = string.Join(", ", option.Aliases.Where(a => !a.Contains('/') && !a.Contains('?')).Append(option.Name).OrderBy(n => n.Length));
        return option.ValueType == typeof(bool) || option.Arity.MaximumNumberOfValues == 0 ? names : $"{names} {option.HelpName ?? "VALUE"}";
    }

    private static void Section(TextWriter writer, string title, IEnumerable<(string Label, string Text)> entries)
    {
        var rows = entries.ToList();
        if (rows.Count == 0) return;
        writer.WriteLine();
        writer.WriteLine(title);
        var indent = Math.Min(rows.Max(r => r.Label.Length), 28) + 4;
        foreach (var (label, text) in rows)
        {
            var head = $"  {label}".PadRight(indent);
            if (head.Length > indent || label.Length > indent - 4)
            {
                writer.WriteLine($"  {label}");
                head = new string(' ', indent);
            }
            Wrapped(writer, text, new string(' ', indent), head);
        }
    }

    private static void Wrapped(TextWriter writer, string text, string indent, string? head = null)
    {
        var line = head ?? indent;
        var empty = true;
        foreach (var word in text.Split(' '))
        {
            if (!empty && line.Length + 1 + word.Length > Width)
            {
                writer.WriteLine(line);
                (line, empty) = (indent, true);
            }
            line += empty ? word : " " + word;
            empty = false;
        }
        writer.WriteLine(line.TrimEnd());
    }
}
