using System.CommandLine;

using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Members;

/// <summary>Roles that one person can give another; ownership is transferred.</summary>
internal static class RoleWords
{
    public static readonly string[] All = ["viewer", "member", "admin"];

    public static Argument<string> Argument()
    {
        var argument = new Argument<string>("ROLE") { Description = "viewer, member or admin" };
        argument.CompletionSources.Add(All);
        return argument;
    }

    public static Role Parse(string text) => All.Contains(text)
        ? Enum.Parse<Role>(text, ignoreCase: true)
        : throw new CliException($"'{Output.Text.Safe(text)}' is not one of {string.Join(", ", All)}", text == "owner" ? "to hand the organization over, use `organizations transfer`" : null);
}
