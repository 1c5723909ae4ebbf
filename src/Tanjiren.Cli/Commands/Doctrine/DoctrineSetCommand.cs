using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Doctrine;

/// <summary><c>doctrine set</c>.</summary>
internal static class DoctrineSetCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var file = new Argument<string>("FILE") { Description = "The YAML; - reads it from standard input" };
        var basedOn = Options.Number("--based-on", "N", "The version that you made it from, as `doctrine get` told; required", 0, int.MaxValue);
        basedOn.Required = true;
        var command = new CliCommand("set", "Write the next version of the doctrine (admins)")
        {
            Arguments = { file },
            Options = { basedOn },
            Details = "What is wrong with the document is told with line and column, and nothing is written. So that nobody's change is lost, it is refused when there is a newer version than the one it was made from.",
            Examples = ["tanvrit-compute doctrine set doctrine.yaml --based-on 3"],
        };
        var output = new OutputOptions(command, "Print the new version with its document as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            var path = parse.GetValue(file)!;
            var document = path == "-" ? await cli.Input.ReadToEndAsync(cancellation) : await File.ReadAllTextAsync(path, cancellation);
            using var client = ClientSession.Open(cli, server.Of(parse));
            var doctrine = await client.Doctrine.SetAsync(new SetDoctrineRequest { Document = document, BasedOn = parse.GetValue(basedOn) }, cancellation);
            if (!output.TryWrite(cli, parse, doctrine, w => w.DoctrineBody, doctrine.Version.ToString())) cli.Say($"version {doctrine.Version} is in force");
            return ExitCode.Ok;
        });
        return command;
    }
}
