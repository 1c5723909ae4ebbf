using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs answer</c>.</summary>
internal static class JobsAnswerCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("PERMISSION") { Description = "Id of what is asked (perm_…)" };
        var answer = new Argument<string>("ANSWER") { Description = "allow, deny, or the id of one of its options" };
        answer.CompletionSources.Add("allow", "deny");
        var reason = Options.Text("--reason", "TEXT", "Why, for the record");
        var command = new CliCommand("answer", "Answer a coding agent that asks whether it may use a tool")
        {
            Arguments = { id, answer },
            Options = { reason },
            Details = "allow and deny are for this one question; an option of the coding agent may hold for longer, and what that means is its own. Members may answer; to allow something in a job that needed an approval takes an admin or the owner, and nobody does in a production_mutation of their own, unless they are alone in the organization: then with --reason. `jobs approvals` lists what waits.",
            Examples =
            [
                "tanvrit-compute jobs answer perm_0123 allow",
                "tanvrit-compute jobs answer perm_0123 deny --reason 'use make clean'",
            ],
        };
        var output = new OutputOptions(command, "Print what was asked and answered as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var word = parse.GetValue(answer)!;
            PermissionVerdict? verdict = word switch { "allow" => PermissionVerdict.Allow, "deny" => PermissionVerdict.Deny, _ => null };
            var request = new AnswerPermissionRequest { Verdict = verdict, OptionId = verdict is null ? word : null, Reason = parse.GetValue(reason) };
            var answered = await client.Permissions.AnswerAsync(parse.GetValue(id)!, request, cancellation);
            if (!output.TryWrite(cli, parse, answered, w => w.PermissionBody, answered.Id))
                cli.Say($"{PermissionWords.Of(answered.Tool)}: {(answered.Verdict == PermissionVerdict.Allow ? "allowed" : "denied")} ({answered.TaskId})");
            return ExitCode.Ok;
        });
        return command;
    }
}
