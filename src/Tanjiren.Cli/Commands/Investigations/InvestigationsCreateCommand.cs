using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Investigations;

/// <summary><c>investigations create</c>.</summary>
internal static class InvestigationsCreateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var title = new Argument<string>("TITLE") { Description = "What it is called" };
        var objective = Options.Text("--objective", "TEXT", "What shall be found out, in Markdown; - reads it from standard input");
        var hypothesis = Options.Text("--hypothesis", "TEXT", "What is thought to be so; - reads it from standard input");
        var command = new CliCommand("create", "Open an investigation")
        {
            Arguments = { title },
            Options = { objective, hypothesis },
            Examples = ["tanvrit-compute jobs run --tag gpu --investigation $(tanvrit-compute investigations create 'Slow GPUs' -o id) -- nvidia-smi"],
        };
        var output = new OutputOptions(command, "Print the investigation as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var input = new StandardInput(cli);
            var request = new CreateInvestigationRequest
            {
                Title = parse.GetValue(title), Objective = input.Text(parse.GetValue(objective)), Hypothesis = input.Text(parse.GetValue(hypothesis)),
            };
            using var client = ClientSession.Open(cli, server.Of(parse));
            var made = await client.Investigations.CreateAsync(request, cancellation);
            if (!output.TryWrite(cli, parse, made, w => w.InvestigationBody, made.Id)) cli.Out.WriteLine(made.Id);
            return ExitCode.Ok;
        });
        return command;
    }
}
