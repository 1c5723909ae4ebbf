using System.CommandLine;
using System.CommandLine.Parsing;

using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Parsing;

/// <summary>Options with messages that name the flag and the value.</summary>
internal static class Options
{
    public static Option<bool> Flag(string name, string description, params string[] aliases) => new(name, aliases) { Description = description };

    public static Option<string?> Text(string name, string valueName, string description, params string[] aliases) =>
        new(name, aliases) { Description = description, HelpName = valueName, Arity = ArgumentArity.ExactlyOne };

    /// <summary>May be given several times; one value each time, so that a following word is never swallowed.</summary>
    public static Option<string[]> Repeated(string name, string valueName, string description, params string[] aliases) =>
        new(name, aliases)
        {
            Description = description,
            HelpName = valueName,
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = false,
            DefaultValueFactory = static _ => [],
        };

    public static Option<int?> Number(string name, string valueName, string description, int min, int max) =>
        new(name)
        {
            Description = description,
            HelpName = valueName,
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result => Parse<int>(result, name, text =>
                int.TryParse(text, out var value) && value >= min && value <= max ? value : null, $"a whole number from {min} to {max}"),
        };

    public static Option<double?> Amount(string name, string valueName, string description) =>
        new(name)
        {
            Description = description,
            HelpName = valueName,
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result => Parse<double>(result, name, text =>
                double.TryParse(text, System.Globalization.NumberStyles.AllowDecimalPoint, null, out var value) && value > 0 ? value : null,
                "a number above 0"),
        };

    /// <summary>Seconds, or a number with the unit s, m, h or d.</summary>
    public static Option<int?> Seconds(string name, string description, int min, int max) =>
        new(name)
        {
            Description = description,
            HelpName = "SECONDS",
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result => Parse<int>(result, name, text => DurationText.Seconds(text) is { } value && value >= min && value <= max ? (int)value : null,
                $"a duration from {min} s to {max} s, for example 90, 90s, 15m, 2h or 1d"),
        };

    public static Option<string?> Choice(string name, string description, params string[] choices)
    {
        var option = new Option<string?>(name)
        {
            Description = description,
            HelpName = string.Join('|', choices),
            Arity = ArgumentArity.ExactlyOne,
            CustomParser = result =>
            {
                var text = result.Tokens[0].Value;
                if (choices.Contains(text)) return text;
                result.AddError($"{name}: '{text}' is not one of {string.Join(", ", choices)}");
                return null;
            },
        };
        option.CompletionSources.Add(choices);
        return option;
    }

    public static Option<bool> Json(string description) => Flag("--json", description);

    private static T? Parse<T>(ArgumentResult result, string name, Func<string, T?> parse, string expected) where T : struct
    {
        var text = result.Tokens[0].Value;
        var value = parse(text);
        if (value is null) result.AddError($"{name}: '{text}' is not {expected}");
        return value;
    }
}

/// <summary>The flags that say which server and workspace; one set for each command that has them.</summary>
internal sealed class ServerOptions
{
    private readonly Option<string?> workspace = Options.Text("--workspace", "NAME", "Workspace to use (TANVRIT_WORKSPACE; default: the one last signed in)");
    private readonly Option<string?> server = Options.Text("--server", "URL", "Address of the control plane (TANVRIT_SERVER; default: the workspace's)");
    private readonly Option<bool> insecure = Options.Flag("--insecure-http", "Allow plain http to another machine: the token can be read on the way");

    public ServerOptions(Command command)
    {
        command.Options.Add(workspace);
        command.Options.Add(server);
        command.Options.Add(insecure);
    }

    public ServerFlags Of(ParseResult parse) => new(parse.GetValue(workspace), parse.GetValue(server), parse.GetValue(insecure));
}
