using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;

namespace Tanjiren.Cli.Commands.Workers;

/// <summary><c>workers show</c>.</summary>
internal static class WorkersShowCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var worker = new Argument<string>("WORKER") { Description = "Id of the worker (worker:ws_…), or name or id of its workstation" };
        var command = new CliCommand("show", "Show what one workstation can do right now") { Arguments = { worker } };
        var output = new OutputOptions(command, "Print the worker as JSON");
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            using var client = ClientSession.Open(cli, server.Of(parse));
            var one = await client.Workers.GetAsync(parse.GetValue(worker)!, cancellation);
            if (!output.TryWrite(cli, parse, one, w => w.WorkerBody, one.Id))
                new FieldList()
                    .Add("name", one.DisplayName)
                    .Add("id", one.Id)
                    .Add("status", Words.Of(one.Status))
                    .Add("ready", one.Readiness.Ready ? "yes" : $"no: {string.Join(", ", one.Readiness.Reasons)}")
                    .Add("health", $"{one.HealthScore} of 100")
                    .Add("running", $"{one.Capacity.Active} of {one.Capacity.MaxConcurrent}")
                    .Add("capabilities", string.Join(", ", one.Capabilities))
                    .Add("last seen", Text.Ago(one.LastHeartbeatAt, cli.Clock.GetUtcNow()))
                    .Write(cli.Out);
            return ExitCode.Ok;
        });
        return command;
    }
}
