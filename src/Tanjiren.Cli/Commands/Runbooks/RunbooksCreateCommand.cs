using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Runbooks;

/// <summary><c>runbooks create</c>.</summary>
internal static class RunbooksCreateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var file = Options.Text("--file", "FILE", "The runbook in JSON; - reads it from standard input");
        var name = Options.Text("--name", "NAME", "Another name than the file says");
        var activate = Options.Flag("--activate", "Make it active, so that it can be run (default: what the file says, else a draft)");
        var command = new CliCommand("create", "Make a runbook: a blueprint of jobs")
        {
            Options = { file, name, activate },
            Details = """
                The file has the fields of the API: name, intentTemplate, parameters, mode, command, promptText, approvalClass, defaultPlan, defaultConstraints, successCriteria, status. Comments are allowed. For example:

                { "name": "restart", "intentTemplate": "Restart {{service}}", "parameters": [{ "name": "service" }], "command": { "argv": ["systemctl", "restart", "--", "{{service}}"] }, "defaultConstraints": { "targets": { "tags": ["web"] } } }
                """,
            Examples = ["tanvrit-compute runbooks create --file restart.json --activate"],
        };
        var output = new OutputOptions(command, "Print the runbook as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var path = parse.GetValue(file) ?? throw new CliException("there is no runbook to make", "give --file FILE");
            RunbookFields fields = RunbookFile.Read(cli, path);
            if (parse.GetValue(name) is { } other) fields = fields with { Name = other };
            if (parse.GetValue(activate)) fields = fields with { Status = RunbookStatus.Active };
            using var client = ClientSession.Open(cli, server.Of(parse));
            var made = await client.Runbooks.CreateAsync(fields, cancellation);
            if (output.TryWrite(cli, parse, made, w => w.RunbookBody, made.Id)) return ExitCode.Ok;
            cli.Out.WriteLine(made.Id);
            if (made.Status == RunbookStatus.Draft) cli.Say($"it is a draft; `tanvrit-compute runbooks update {Text.Safe(made.Name)} --status active` puts it to use");
            return ExitCode.Ok;
        });
        return command;
    }
}
