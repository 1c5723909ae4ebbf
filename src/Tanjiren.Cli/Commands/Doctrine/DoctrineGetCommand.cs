using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Doctrine;

/// <summary><c>doctrine get</c>.</summary>
internal static class DoctrineGetCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var version = new Argument<int?>("VERSION") { Description = "That version instead of the newest", Arity = ArgumentArity.ZeroOrOne };
        var command = new CliCommand("get", "Print the doctrine: what may run, and who has to agree first")
        {
            Arguments = { version },
            Details = "The YAML goes to standard output as it was written; which version it is, and by whom, to standard error.",
            Examples = ["tanvrit-compute doctrine get > doctrine.yaml"],
        };
        var output = new OutputOptions(command, "Print the version with its document as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var doctrine = await client.Doctrine.GetAsync(parse.GetValue(version), cancellation);
            if (output.TryWrite(cli, parse, doctrine, w => w.DoctrineBody, doctrine.Version.ToString())) return ExitCode.Ok;
            // Control characters were refused when it was written; a terminal gets what an editor will.
            cli.Out.Write(doctrine.Document.EndsWith('\n') ? doctrine.Document : doctrine.Document + "\n");
            cli.Say($"version {doctrine.Version}, {DoctrineWords.Author(doctrine.CreatedByEmail ?? doctrine.CreatedBy)}, {Text.Instant(doctrine.CreatedAt, cli.Clock)}");
            return ExitCode.Ok;
        });
        return command;
    }
}
