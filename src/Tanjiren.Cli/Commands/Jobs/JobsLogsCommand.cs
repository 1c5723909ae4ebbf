using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Jobs;

/// <summary><c>jobs logs</c>: what has been stored, or with <c>--follow</c> everything until the end.</summary>
internal static class JobsLogsCommand
{
    /// <summary>A chunk is up to 256 KiB, so a page stays under 11 MiB of base64.</summary>
    private const int PageSize = 32;

    public static CliCommand Create(CliContext cli)
    {
        var id = new Argument<string>("JOB") { Description = "Id of the job (task_…)" };
        var step = Options.Text("--step", "ID", "Only this step");
        var follow = Options.Flag("--follow", "Stay until the job ends; Ctrl-C leaves it running", "-f");
        var json = Options.Json("Print one chunk a line as JSON, its bytes as base64");
        var prefix = Options.Flag("--prefix", "Lead each line with the workstation's name, also with one step");
        var raw = Options.Flag("--raw", "Never lead lines with a name");
        var command = new CliCommand("logs", "Print the output of a job")
        {
            Arguments = { id },
            Options = { follow, step, json, prefix, raw },
            Details = "Standard output and standard error of the job go to ours, byte for byte. The exit code is 0 however the job ended.",
        };
        var server = new ServerOptions(command);
        command.SetAction(async (parse, cancellation) =>
        {
            if (parse.GetValue(prefix) && parse.GetValue(raw)) throw new CliException("both --prefix and --raw are given", "give one of them");
            using var client = ClientSession.Open(cli, server.Of(parse));
            var only = parse.GetValue(step);
            var mode = parse.GetValue(prefix) ? PrefixMode.Always : parse.GetValue(raw) || only is not null ? PrefixMode.Never : PrefixMode.Auto;
            var output = new JobOutput(cli.Output, cli.Error, mode);
            Action<LogChunkBody> write = parse.GetValue(json) ? chunk => Json.WriteLine(cli, chunk, w => w.LogChunkBody) : output.Write;
            var job = await client.Tasks.GetAsync(parse.GetValue(id)!, cancellation);
            output.Learn(job);
            if (only is not null && job.Execution?.Steps.Any(s => s.Id == only) != true)
                throw new CliException($"{job.Id} has no step {Text.Safe(only)}", $"`tanvrit-compute jobs show {job.Id}` lists its steps");

            var code = parse.GetValue(follow)
                ? await FollowAsync(cli, client, job.Id, only, output, write)
                : await PageAsync(client, job, only, write, cancellation);
            output.Finish();
            if (job.LogsDeletedAt is { } deleted) cli.Say($"the output of {job.Id} was deleted by age {Output.Text.Instant(deleted, cli.Clock)}");
            return code;
        });
        return command;
    }

    private static async Task<int> PageAsync(ClientSession client, TaskBody job, string? only, Action<LogChunkBody> write, CancellationToken cancellation)
    {
        foreach (var step in job.Execution?.Steps ?? [])
        {
            if (only is not null && step.Id != only) continue;
            string? cursor = null;
            do
            {
                var page = await client.Tasks.LogsAsync(job.Id, step.Id, cursor, PageSize, cancellation);
                foreach (var chunk in page.Items) write(chunk);
                cursor = page.NextCursor;
            }
            while (cursor is not null);
        }
        return ExitCode.Ok;
    }

    private static async Task<int> FollowAsync(CliContext cli, ClientSession client, string id, string? only, JobOutput output, Action<LogChunkBody> write)
    {
        using var interrupts = cli.ListenForInterrupts();
        var follower = new JobFollower(client.Tasks, client.Api.Access.Url, cli.Timeouts, cli.Clock)
        {
            OnLog = chunk =>
            {
                if (only is null || chunk.StepId == only) write(chunk);
            },
            OnTask = output.Learn,
            Say = cli.Say,
        };
        try
        {
            await follower.FollowAsync(id, interrupts.First);
            return ExitCode.Ok;
        }
        catch (OperationCanceledException) when (interrupts.First.IsCancellationRequested)
        {
            return ExitCode.Cancelled;
        }
    }
}
