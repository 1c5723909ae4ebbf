using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>How a job is run and shown.</summary>
internal sealed record JobRunOptions
{
    public required string IdempotencyKey { get; init; }
    public PrefixMode Prefix { get; init; }
    public bool Detach { get; init; }
    public bool Json { get; init; }
}

/// <summary>
/// Creates a task and stays with it: output, cancel, exit code. <c>jobs run</c> and <c>up -- COMMAND</c> are the same thing from here on.
/// </summary>
internal sealed class JobRunner(CliContext cli, ClientSession client)
{
    public async Task<int> RunAsync(CreateTaskRequest request, JobRunOptions options, Interrupts interrupts)
    {
        using var span = JobTrace.Start(cli);
        // The first Ctrl-C does not stop the creation: a task whose id we never learn could not be cancelled.
        TaskBody task;
        try
        {
            task = await client.Tasks.CreateAsync(request, options.IdempotencyKey, interrupts.Second);
        }
        catch (OperationCanceledException) when (interrupts.Second.IsCancellationRequested)
        {
            cli.Say("left before the server answered; if the job was created, it runs");
            cli.Say($"hint: `tanvrit-compute jobs list` shows it; its idempotency key is {options.IdempotencyKey}");
            return ExitCode.Cancelled;
        }

        JobTrace.Created(span, task);
        if (options.Detach)
        {
            if (interrupts.First.IsCancellationRequested) await client.Tasks.CancelAsync(task.Id, "interrupted", interrupts.Second);
            if (options.Json) Json.Write(cli, task, w => w.TaskBody);
            else cli.Out.WriteLine(task.Id);
            return ExitCode.Ok;
        }
        return await StayAsync(task, options, interrupts, span);
    }

    /// <summary>Follows each attempt to its end; the last one's is the job's.</summary>
    private async Task<int> StayAsync(TaskBody task, JobRunOptions options, Interrupts interrupts, System.Diagnostics.Activity span)
    {
        var attempts = new NextAttempt(cli, client);
        try
        {
            while (true)
            {
                task = await FollowAsync(task, options, interrupts);
                var planned = task.RetryDueAt is not null;
                (task, var next) = await attempts.WaitAsync(task, interrupts);
                if (next is not null)
                {
                    task = next;
                    continue;
                }
                if (options.Json) Json.Write(cli, task, w => w.TaskBody);
                // Dropped on request: the job was cancelled, however its last attempt ended.
                var code = planned && interrupts.First.IsCancellationRequested ? ExitCode.Cancelled : JobExit.Of(task);
                JobTrace.Ended(span, task, code);
                return code;
            }
        }
        catch (OperationCanceledException) when (interrupts.Second.IsCancellationRequested)
        {
            cli.Say($"left; {task.Id} is still being cancelled (`tanvrit-compute jobs show {task.Id}` says how it ended)");
            return ExitCode.Cancelled;
        }
    }

    private async Task<TaskBody> FollowAsync(TaskBody task, JobRunOptions options, Interrupts interrupts)
    {
        var output = new JobOutput(cli.Output, cli.Error, options.Prefix);
        output.Learn(task);
        using var done = new CancellationTokenSource();
        var cancelling = CancelOnInterruptAsync(task.Id, interrupts, done.Token);
        using var waiting = new WaitingNotice(cli, task);
        var approvals = new ApprovalNotice(cli);
        approvals.Look(task);
        var permissions = new PermissionNotice(cli);
        var follower = new JobFollower(client.Tasks, client.Api.Access.Url, cli.Timeouts, cli.Clock)
        {
            OnLog = chunk =>
            {
                waiting.Stop();
                if (!options.Json) output.Write(chunk);
            },
            OnTask = current =>
            {
                output.Learn(current);
                waiting.Look(current);
                approvals.Look(current);
                permissions.Look(current);
            },
            Say = cli.Say,
        };
        try
        {
            var ended = await follower.FollowAsync(task.Id, interrupts.Second);
            output.Finish();
            EndReport.Write(cli, ended);
            return ended;
        }
        finally
        {
            output.Finish();
            waiting.Stop();
            await done.CancelAsync();
            await cancelling;
        }
    }

    /// <summary>Sends the cancel at once and again until it is answered; the stream goes on meanwhile and brings the end.</summary>
    private async Task CancelOnInterruptAsync(string taskId, Interrupts interrupts, CancellationToken done)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(done, interrupts.Second);
        var backoff = new Backoff(cli.Timeouts, cli.Clock);
        try
        {
            using (var either = CancellationTokenSource.CreateLinkedTokenSource(done, interrupts.First))
            {
                await Task.Delay(Timeout.InfiniteTimeSpan, cli.Clock, either.Token).ContinueWith(static _ => { }, TaskScheduler.Default);
            }
            if (done.IsCancellationRequested) return;
            cli.Say($"cancelling {taskId}; Ctrl-C again leaves at once");
            while (true)
            {
                try
                {
                    await client.Tasks.CancelAsync(taskId, "interrupted at the command line", stop.Token);
                    return;
                }
                catch (ApiException e) when (!e.IsTransient)
                {
                    // Already over, most likely: the stream says how. Anything else (not allowed any more) must be seen.
                    if (!e.Problem.Is(ErrorCode.StateConflict)) ErrorReport.Write(cli.Err, e);
                    return;
                }
                catch (Exception e) when (e is ApiException or UnreachableException)
                {
                    await backoff.PauseAsync(stop.Token);
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The job ended first, or the person left.
        }
    }
}
