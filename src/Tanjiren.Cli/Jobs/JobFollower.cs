using System.Text.Json;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>
/// Follows one task to its end over as many connections as it takes. Each event is handled once: a new connection resumes after the last id that was
/// handled, never after one that was only read.
/// </summary>
internal sealed class JobFollower(TaskApi tasks, Uri server, ClientTimeouts timeouts, TimeProvider clock)
{
    private string? lastEventId;
    private TaskBody? latest;
    private bool ended;

    public required Action<LogChunkBody> OnLog { get; init; }
    public Action<TaskBody>? OnTask { get; init; }
    /// <summary>Takes a line for the person about the connection, not about the job.</summary>
    public required Action<string> Say { get; init; }

    /// <summary>The task as it ended. Cancelled only by <paramref name="leave"/>.</summary>
    /// <exception cref="ApiException">The server refuses to show the task.</exception>
    /// <exception cref="CliException">No connection for <see cref="ClientTimeouts.GiveUp"/>; the job goes on.</exception>
    public async Task<TaskBody> FollowAsync(string taskId, CancellationToken leave)
    {
        var backoff = new Backoff(timeouts, clock);
        // After the task's end its output may still be on the way, but an agent that died may never send it: then this runs out.
        using var missing = new CancellationTokenSource(Timeout.InfiniteTimeSpan, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(missing.Token, leave);
        long? lostSince = null;
        var told = false;
        while (true)
        {
            TimeSpan? wait = null;
            Exception? failure = null;
            try
            {
                await foreach (var item in tasks.EventsAsync(taskId, lastEventId, Opened, either.Token))
                {
                    backoff.Reset();
                    Handle(item);
                    if (ended) return await FinalAsync(taskId, leave);
                    if (latest is { } task && JobExit.IsTerminal(task.State)) missing.CancelAfter(timeouts.MissingLogs);
                }
            }
            catch (OperationCanceledException) when (!leave.IsCancellationRequested)
            {
                Say($"some of the output has not arrived yet; `tanvrit-compute jobs logs {taskId}` shows it when it has");
                return await FinalAsync(taskId, leave);
            }
            catch (UnreachableException e)
            {
                failure = e;
            }
            catch (ApiException e) when (e.IsTransient)
            {
                (failure, wait) = (e, e.RetryAfter);
            }
            catch (Exception e) when (e is IOException or HttpRequestException)
            {
                failure = e;
            }
            catch (JsonException e)
            {
                throw new CliException("the server sent an event that this version can't read", "is tanvrit-compute older than the server? update it", e);
            }

            lostSince ??= clock.GetTimestamp();
            var lost = clock.GetElapsedTime(lostSince.Value);
            if (lost > timeouts.GiveUp)
                throw new CliException(
                    $"no connection to {ServerAccessRules.Text(server)} for {Text.Duration(lost)}; the job goes on without this command",
                    $"follow it again with `tanvrit-compute jobs logs --follow {taskId}`", failure);
            if (!told && lost > timeouts.TellAfter)
            {
                told = true;
                Say($"lost the connection to {ServerAccessRules.Text(server)}; the job goes on, trying again …");
            }
            await backoff.PauseAsync(leave, wait);
        }

        // A silent job sends no events: the connection alone ends the time without one. The pauses only shrink again once something came over it.
        void Opened()
        {
            if (told) Say("connected again");
            (lostSince, told) = (null, false);
        }
    }

    private void Handle(TaskEvent item)
    {
        if (item.Body?.Log is { } chunk) OnLog(chunk);
        if (item.Body?.Task is { } task)
        {
            latest = task;
            OnTask?.Invoke(task);
        }
        ended |= item.Name == "end";
        if (!string.IsNullOrEmpty(item.Id)) lastEventId = item.Id;
    }

    private async Task<TaskBody> FinalAsync(string taskId, CancellationToken leave) =>
        latest is { Execution: not null } task && JobExit.IsTerminal(task.State) ? task : await tasks.GetAsync(taskId, leave);
}
