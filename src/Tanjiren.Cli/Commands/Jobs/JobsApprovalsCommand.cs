using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs approvals</c>.</summary>
internal static class JobsApprovalsCommand
{
    private const string All = "all";

    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string?>("JOB") { Description = "Id of a job (task_…); absent: all jobs", Arity = ArgumentArity.ZeroOrOne };
        var state = Options.Choice("--state", "Only questions in this state (default pending)", [.. Enum.GetValues<PermissionState>().Select(s => Words.Of(s)), All]);
        var command = new CliCommand("approvals", "List what coding agents ask while they run, oldest first")
        {
            Arguments = { id },
            Options = { state },
            Details = "A coding agent that wants to use a tool waits for an answer: give it with `jobs answer`. `approvals watch` tells of each as it comes. What jobs wait for before they start is another list: `approvals list`.",
        };
        var output = new OutputOptions(command, "Print { items: [...] } as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var wanted = parse.GetValue(state) ?? Words.Of(PermissionState.Pending);
            var all = await client.Permissions.ListAsync(wanted == All ? null : wanted, parse.GetValue(id), cancellation);
            if (output.TryWrite(cli, parse, new Page<PermissionBody> { Items = all }, w => w.PagePermissionBody, p => p.Id)) return ExitCode.Ok;
            if (all.Count == 0) cli.Say(wanted == Words.Of(PermissionState.Pending) ? "no coding agent waits for an answer" : "no such questions");
            foreach (var permission in all) Show(cli, permission);
            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>All that an answer depends on: a table would cut it.</summary>
    internal static void Show(CliContext cli, PermissionBody permission)
    {
        new FieldList()
            .Add("permission", permission.Id)
            .Add("job", $"{permission.TaskId}: {Text.Shorten(permission.Intent, 100)}")
            .Add("on", permission.InstanceName ?? permission.InstanceId)
            .Add("coding agent", permission.CodingAgent)
            .Add("tool", PermissionWords.Of(permission.Tool))
            .Add("files", string.Join(", ", permission.Tool.Paths ?? []))
            .Add("arguments", PermissionWords.Arguments(permission.Tool))
            .Add("state", PermissionWords.Standing(permission))
            .Add("rule", permission.Rule)
            .Add("reason", permission.Reason)
            .Add("asked", Text.Ago(permission.AskedAt, cli.Clock.GetUtcNow()))
            .Add("answer by", permission.State == PermissionState.Pending ? $"{Text.Instant(permission.ExpiresAt, cli.Clock)}; then it is denied" : null)
            .Add("answers", permission.State == PermissionState.Pending ? PermissionWords.Answers(permission) : null)
            .Write(cli.Out);
        cli.Out.WriteLine();
    }
}
