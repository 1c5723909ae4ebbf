using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary><c>workstations create</c>.</summary>
internal static class CreateCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var name = new Argument<string>("NAME") { Description = "Name, unique in the organization" };
        var tags = Options.Repeated("--tag", "TAG", "Tag to give it; repeatable");
        var command = new CliCommand("create", "Register a workstation")
        {
            Arguments = { name },
            Options = { tags },
            Details = "It stays offline until its machine is paired: make a code with `workstations pair-code` and use it there.",
            Examples = ["tanvrit-compute workstations create build-1 --tag linux --tag gpu"],
        };
        var output = new OutputOptions(command, "Print the workstation as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var made = await client.Instances.CreateAsync(
                new CreateInstanceRequest { Name = parse.GetValue(name), Tags = parse.GetValue(tags) is { Length: > 0 } t ? t : null }, cancellation);
            if (!output.TryWrite(cli, parse, made, w => w.InstanceBody, made.Id))
            {
                cli.Out.WriteLine($"{Text.Safe(made.Name)}  {made.Id}");
                cli.Say($"next: `tanvrit-compute workstations pair-code {Text.CommandLine([Text.Safe(made.Name)])}`");
            }
            return ExitCode.Ok;
        });
        return command;
    }
}
