using System.CommandLine;

using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary>The options of a job that asks a coding agent instead of running a command.</summary>
internal sealed class PromptOptions
{
    private readonly Option<string?> prompt = Options.Text("--prompt", "TEXT", "Ask a coding agent on the workstation instead of running a command");
    private readonly Option<string?> file = Options.Text("--prompt-file", "FILE", "The same with the text of this file; - reads it from standard input");
    private readonly Option<string?> questions = Options.Text("--questions", "FILE", "Have a coding agent answer the questions of this YAML file; - reads it from standard input");
    private readonly Option<string?> agent = Options.Text("--agent", "NAME", "The coding agent to ask: claude, codex, opencode … (default: the workstation's first)");
    private readonly Option<int?> permissionTimeout = Options.Seconds("--permission-timeout", "How long its questions whether it may use a tool wait for an answer; then they are denied (default 10m)", 1, 86_400);

    public IReadOnlyList<Option> All => [prompt, file, questions, agent, permissionTimeout];

    /// <summary>Those that say what the job is, as a command does.</summary>
    public static bool SaysWhat(string option) => option is "--prompt" or "--prompt-file" or "--questions";

    /// <summary>Null: none is given.</summary>
    public string? TextOf(ParseResult parse, StandardInput input)
    {
        var text = parse.GetValue(prompt);
        if (parse.GetValue(file) is not { } path) return text;
        if (text is not null) throw new CliException("both --prompt and --prompt-file are given", "give one of them");
        return Read(input, "--prompt-file", path, "give the path of a text file, or - for standard input");
    }

    /// <summary>Null: none are given.</summary>
    public QuestionList? QuestionsOf(ParseResult parse, StandardInput input) => QuestionsOf(input, parse, questions);

    /// <summary>The same for a command with that option alone.</summary>
    public static QuestionList? QuestionsOf(StandardInput input, ParseResult parse, Option<string?> option)
    {
        if (parse.GetValue(option) is not { } path) return null;
        return QuestionsFile.Read(Read(input, option.Name, path, "give the path of a YAML file, or - for standard input"), path == "-" ? "standard input" : Output.Text.Safe(path));
    }

    private static string Read(StandardInput input, string option, string path, string hint)
    {
        if (path == "-") return input.Text(path)!;
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException($"{option} {Output.Text.Safe(path)} can't be read: {e.Message}", hint);
        }
    }

    public string? AgentOf(ParseResult parse) => parse.GetValue(agent);

    public int? PermissionTimeoutOf(ParseResult parse) => parse.GetValue(permissionTimeout);
}
