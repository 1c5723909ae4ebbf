using System.CommandLine;
using System.CommandLine.Parsing;

namespace Tanjiren.Cli.Parsing;

/// <summary>
/// <c>-- COMMAND ARGS…</c>. The dashes are required: without them a word like <c>--all</c> that was meant for the command would be taken as ours, silently.
/// </summary>
internal sealed class CommandOperand
{
    private readonly Command command;
    private readonly Argument<string[]> argument = new("COMMAND")
    {
        Arity = ArgumentArity.ZeroOrMore,
        HelpName = "COMMAND ARGS…",
        Description = "The program and its arguments, after `--`. They are passed as they are: no shell, no quoting",
    };

    public CommandOperand(Command command)
    {
        this.command = command;
        command.Arguments.Add(argument);
    }

    public IReadOnlyList<string> Of(ParseResult parse)
    {
        var words = parse.GetValue(argument) ?? [];
        var dashed = parse.Tokens.SkipWhile(t => t.Type != TokenType.DoubleDash).Skip(1).Count();
        if (words.Length != dashed)
            throw new CliException("the command must come after `--`", $"for example: {HelpText.FullName(command)} [options] -- {Output.Text.CommandLine(words)}");
        return words;
    }
}
