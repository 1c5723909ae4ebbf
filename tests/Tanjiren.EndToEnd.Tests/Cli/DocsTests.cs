using System.CommandLine;
using System.CommandLine.Help;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

using Tanjiren.Cli;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>docs/cli.md and the command tree say the same.</summary>
public sealed partial class DocsTests
{
    private static readonly string[] ConnectionOptions = ["--workspace", "--server", "--insecure-http"];

    [Fact]
    public void Every_command_has_its_section_and_every_section_its_command() =>
        Sections().Keys.ShouldBe(Leaves().Select(HelpText.FullName), ignoreOrder: true);

    [Fact]
    public void Every_option_is_documented_with_its_help_and_none_that_does_not_exist()
    {
        var sections = Sections();
        foreach (var command in Leaves())
        {
            var section = sections[HelpText.FullName(command)];
            var options = command.Options.Where(o => !o.Hidden && o is not HelpOption).ToList();
            var documented = OptionRow().Matches(section).ToDictionary(m => m.Groups["name"].Value, m => m.Groups["text"].Value.Replace("\\|", "|"));
            if (section.Contains("#connection-options")) foreach (var name in ConnectionOptions) documented.TryAdd(name, "");

            documented.Keys.ShouldBe(options.Select(o => o.Name), ignoreOrder: true, command.Name);
            foreach (var option in options.Where(o => documented[o.Name].Length > 0))
                documented[option.Name].ShouldBe(option.Description, $"{command.Name} {option.Name}");
        }
    }

    [Fact]
    public void Every_exit_code_of_ours_is_in_the_table()
    {
        var docs = Docs();
        foreach (var field in typeof(ExitCode).GetFields().Where(f => f.Name != nameof(ExitCode.SignalBase)))
            docs.ShouldContain($"\n| {field.GetRawConstantValue()} | ", customMessage: field.Name);
        docs.ShouldContain("\n| 128 + N | ");
    }

    [Fact]
    public void Every_symbol_says_what_it_is_for()
    {
        foreach (var command in All(Tree()))
        {
            command.Description.ShouldNotBeNullOrWhiteSpace(command.Name);
            foreach (var symbol in command.Options.Cast<Symbol>().Concat(command.Arguments)) symbol.Description.ShouldNotBeNullOrWhiteSpace($"{command.Name} {symbol.Name}");
        }
    }

    [Fact]
    public void The_watchdog_is_hidden() => Tree().Subcommands.Single(c => c.Name == "agent").Subcommands.Single(c => c.Name == "watchdog").Hidden.ShouldBeTrue();

    [GeneratedRegex(@"^\| `(-\w, )?(?<name>--[\w-]+)[^`]*` \| (?<text>.*) \|$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex OptionRow();

    private static RootCommand Tree() => CommandTree.Build(new CliContext(Stream.Null, Stream.Null, TextReader.Null));

    private static IEnumerable<Command> All(Command command) => command.Subcommands.SelectMany(All).Prepend(command);

    private static IEnumerable<Command> Leaves() => All(Tree()).Where(c => (c.Subcommands.Count == 0 || c.Action is not null) && !c.Hidden);

    private static Dictionary<string, string> Sections() =>
        Docs().Split("\n### `").Skip(1).ToDictionary(s => s[..s.IndexOf('`')]);

    private static string Docs([CallerFilePath] string here = "") =>
        File.ReadAllText(Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "..", "docs", "cli.md"));
}
