using System.CommandLine;
using System.Text.Json.Serialization.Metadata;

using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Parsing;

/// <summary>
/// What a command prints: words for people, the records of the API (<c>--json</c>, <c>-o json</c>), or only their ids, one a line (<c>-o id</c>), for the next
/// command of a script. One set for each command that has them.
/// </summary>
internal sealed class OutputOptions
{
    private const string IdFormat = "id";
    private const string JsonFormat = "json";

    private readonly Option<string?> format;
    private readonly Option<bool> json;

    public OutputOptions(Command command, string jsonDescription)
    {
        json = Options.Json($"{jsonDescription}; the same as -o json");
        format = Options.Choice("--output", "Print only ids, one a line, or JSON, instead of text", IdFormat, JsonFormat);
        format.Aliases.Add("-o");
        command.Options.Add(json);
        command.Options.Add(format);
        command.Validators.Add(result =>
        {
            if (result.GetValue(json) && result.GetResult(format) is { Errors: var errors } && !errors.Any() && result.GetValue(format) == IdFormat)
                result.AddError("both --json and -o id are given; give one of them");
        });
    }

    public bool IsJson(ParseResult parse) => parse.GetValue(json) || parse.GetValue(format) == JsonFormat;

    public bool IsId(ParseResult parse) => parse.GetValue(format) == IdFormat;

    /// <summary>Prints for a program, if that is asked for. False: the command prints for people.</summary>
    public bool TryWrite<T>(CliContext cli, ParseResult parse, T value, Func<WireJson, JsonTypeInfo<T>> type, params IEnumerable<string> ids)
    {
        if (IsJson(parse)) Json.Write(cli, value, type);
        else if (IsId(parse)) foreach (var id in ids) cli.Out.WriteLine(id);
        else return false;
        return true;
    }

    /// <summary>The same for everything that a list found.</summary>
    public bool TryWrite<T>(CliContext cli, ParseResult parse, Page<T> page, Func<WireJson, JsonTypeInfo<Page<T>>> type, Func<T, string> id) =>
        TryWrite(cli, parse, page, type, page.Items.Select(id));
}
