using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Commands.Members;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Doctrine;

/// <summary><c>doctrine test</c>.</summary>
internal static class DoctrineTestCommand
{
    private const int NeedsApproval = 1;
    private const int NeverRuns = 2;
    private const int Frozen = 3;

    public static CliCommand Create(CliContext cli)
    {
        var workstations = Options.Repeated("--workstation", "NAME", "Workstation that could run it, by name or id; repeatable: the strictest counts", "-w");
        var tags = Options.Repeated("--tag", "TAG", "Tag of one more workstation that could run it; repeatable");
        var shell = Options.Text("--shell", "TEXT", "Text for a workstation's shell instead of a command");
        var prompt = Options.Text("--prompt", "TEXT", "Text for a coding agent instead of a command");
        var tool = Options.Choice("--tool", "Ask instead what it answers to a coding agent that wants to use such a tool; the command or --file says for what", [.. ToolKinds.All]);
        var files = Options.Repeated("--file", "PATH", "With --tool: a file that it would use; repeatable");
        var agent = Options.Text("--agent", "NAME", "With --tool: the coding agent that asks");
        var role = Options.Choice("--role", "Role of who creates it (default: yours)", [.. RoleWords.All, "owner"]);
        var origin = Options.Choice("--origin", "What makes it (default request: a person)", "request", "schedule", "runbook");
        var at = Options.Text("--at", "TIME", "When, for example 2026-12-24T18:00:00+01:00 (default: now)");
        var version = Options.Number("--by-version", "N", "By that version instead of the newest", 1, int.MaxValue);
        var command = new CliCommand("test", "Ask what the doctrine says of a task, without making it")
        {
            Operands = "-- COMMAND [ARGS…]",
            Options = { workstations, tags, shell, prompt, tool, files, agent, role, origin, at, version },
            Details = """
                It prints the class, every rule that matches and what met it, and the end of an open freeze. Nothing is made and nothing is run.

                The exit code: 0 it may run at once, 1 it needs an approval, 2 it is forbidden, or refused by a freeze, 3 it waits for the end of a freeze, 125 tanvrit-compute itself failed. Of several the first in the order 2, 1, 3. With --tool: 0 it is allowed, 1 a person is asked, 2 it is denied.
                """,
            Examples =
            [
                "tanvrit-compute doctrine test --workstation web-1 -- systemctl restart nginx",
                "tanvrit-compute doctrine test --tag production --role member --shell 'rm -r build'",
                "tanvrit-compute doctrine test --tool execute -- git push origin main",
            ],
        };
        var output = new OutputOptions(command, "Print the decision as JSON");
        var server = new ServerOptions(command);
        var operand = new CommandOperand(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var (argv, asked) = (operand.Of(parse), parse.GetValue(prompt));
            if (asked is not null && (argv.Count > 0 || parse.GetValue(shell) is not null)) throw new CliException("both --prompt and a command are given", "give one of them");
            var wanted = ToolOf(parse.GetValue(tool), parse.GetValue(files)!, argv, parse.GetValue(shell));
            if (wanted is null && (parse.GetValue(files) is { Length: > 0 } || parse.GetValue(agent) is not null)) throw new CliException("--file or --agent is given without --tool", "add --tool KIND");
            var isPrompt = asked is not null || wanted is not null;
            var request = new EvaluateDoctrineRequest
            {
                Mode = isPrompt ? TaskMode.Prompt : TaskMode.Command,
                Command = isPrompt ? null : JobSpec.Command(argv, parse.GetValue(shell)),
                Prompt = asked,
                Tool = wanted,
                CodingAgent = parse.GetValue(agent),
                Workstations = parse.GetValue(workstations) is { Length: > 0 } names ? names : null,
                Tags = parse.GetValue(tags) is { Length: > 0 } set ? set : null,
                Role = parse.GetValue(role) is { } word ? Enum.Parse<Role>(word, ignoreCase: true) : null,
                Origin = parse.GetValue(origin) is { } maker ? Enum.Parse<DoctrineOrigin>(maker, ignoreCase: true) : null,
                At = parse.GetValue(at) is { } time ? Instant(time) : null,
                Version = parse.GetValue(version),
            };
            using var client = ClientSession.Open(cli, server.Of(parse));
            var decision = await client.Doctrine.EvaluateAsync(request, cancellation);
            if (!output.TryWrite(cli, parse, decision, w => w.DoctrineDecisionBody, decision.Findings.Select(f => f.Rule))) Print(cli, decision);
            return decision switch
            {
                { Permission: { } permission } => permission.Verdict switch { PermissionVerdict.Allow => ExitCode.Ok, PermissionVerdict.Deny => NeverRuns, _ => NeedsApproval },
                { Forbidden: true } or { FreezeRefuses: true } => NeverRuns,
                { Class: not ApprovalClass.None } => NeedsApproval,
                { FrozenUntil: not null } => Frozen,
                _ => ExitCode.Ok,
            };
        });
        return command;
    }

    /// <summary>Null: no tool is asked about.</summary>
    private static PermissionTool? ToolOf(string? kind, string[] files, IReadOnlyList<string> argv, string? shell)
    {
        if (kind is null) return null;
        var line = argv.Count > 0 || shell is not null ? shell ?? string.Join(' ', argv) : null;
        return new PermissionTool
        {
            Kind = kind, Title = line ?? (files.Length > 0 ? string.Join(", ", files) : kind), Paths = files.Length > 0 ? files : null,
            Arguments = line is null ? null : JsonDocument.Parse(new JsonObject { ["command"] = line }.ToJsonString()).RootElement,
        };
    }

    private static void Print(CliContext cli, DoctrineDecisionBody decision)
    {
        if (decision.Permission is { } permission)
        {
            new FieldList().Add("answer", permission.Verdict is { } given ? Words.Of(given) : "ask a person").Add("rule", permission.Rule).Add("because", permission.Because)
                .Add("version", decision.Version.ToString(CultureInfo.InvariantCulture)).Write(cli.Out);
            return;
        }
        var verdict = decision switch
        {
            { Forbidden: true } => "forbidden",
            { FreezeRefuses: true } => "refused while frozen",
            { Class: not ApprovalClass.None } => "needs an approval",
            { FrozenUntil: not null } => "waits for the end of the freeze",
            _ => "may run at once",
        };
        new FieldList().Add("verdict", verdict).Add("class", Words.Of(decision.Class))
            .Add("frozen until", decision.FrozenUntil is { } until ? Text.Instant(until, cli.Clock) : null)
            .Add("version", decision.Version.ToString(CultureInfo.InvariantCulture)).Write(cli.Out);
        foreach (var finding in decision.Findings) cli.Out.WriteLine($"  {Text.Safe(finding.Effect)} by {Text.Safe(finding.Rule)}: {Text.Safe(finding.Because)}");
    }

    private static DateTimeOffset Instant(string text) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeLocal, out var instant)
            ? instant
            : throw new CliException($"--at: '{Text.Safe(text)}' is not a time", "for example 2026-12-24T18:00:00+01:00; without an offset it is this machine's time");
}
