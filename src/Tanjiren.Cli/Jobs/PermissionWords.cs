using System.Text.Json;

using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>What a coding agent asks, for people. All of it is its own word.</summary>
internal static class PermissionWords
{
    /// <summary>In one line, for example <c>execute: rm -r build</c>.</summary>
    public static string Of(PermissionTool tool) => Text.Shorten(Text.Safe($"{tool.Kind ?? ToolKinds.Other}: {tool.Title}"), 200);

    /// <summary>The arguments in one line; null: it has none.</summary>
    public static string? Arguments(PermissionTool tool, int length = 2000) =>
        tool.Arguments is { ValueKind: not JsonValueKind.Undefined } arguments ? Text.Shorten(Text.Safe(arguments.GetRawText()), length) : tool.ArgumentsCut ? "more than is told here" : null;

    /// <summary>How it stands, for example <c>allow by usr_…</c>.</summary>
    public static string Standing(PermissionBody permission)
    {
        var verdict = permission.Verdict is { } given ? Words.Of(given) : null;
        var words = permission.State switch
        {
            PermissionState.Answered => $"{verdict} by {permission.AnsweredBy ?? $"rule {permission.Rule}"}",
            _ => Words.Of(permission.State),
        };
        // What its machine could not be told in time it was told otherwise.
        var told = permission.Told is { } said && permission.State == PermissionState.Answered && Words.Of(said) != verdict ? $", but the coding agent was told {Words.Of(said)}" : "";
        return Text.Safe(words + told);
    }

    /// <summary>Every answer that <c>jobs answer</c> takes for it.</summary>
    public static string Answers(PermissionBody permission) =>
        Text.Safe(string.Join(", ", permission.Options.Where(o => o.Kind is "allow_always" or "reject_always").Select(o => $"{o.Id} ({o.Name ?? o.Kind})").Prepend("deny").Prepend("allow")));
}
