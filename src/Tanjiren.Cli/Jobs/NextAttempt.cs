using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>From an attempt that has ended to the one after it, if there is to be one.</summary>
internal sealed class NextAttempt(CliContext cli, ClientSession client)
{
    /// <summary>Between two looks while the attempt is not due, and when it is: another server may make it, or it may be dropped.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(200);

    /// <summary>The attempt as it ended, and the next; null when there is none (any more). The first interrupt drops one that is pending.</summary>
    /// <exception cref="CliException">The server was out of reach for <see cref="Settings.ClientTimeouts.GiveUp"/>.</exception>
    public async Task<(TaskBody Ended, TaskBody? Next)> WaitAsync(TaskBody ended, Interrupts interrupts)
    {
        if (ended.RetryDueAt is { } due)
            cli.Say($"{ended.Id} {Words.Of(ended.State)}: attempt {ended.Attempt + 1}{(ended.Retry?.MaxAttempts is { } most ? $" of {most}" : "")} in {Text.Duration(due - cli.Clock.GetUtcNow())}");
        var dropped = false;
        while (ended.RetriedByTaskId is null && ended.RetryDueAt is { } at)
        {
            if (interrupts.First.IsCancellationRequested && !dropped)
            {
                dropped = await DropAsync(ended.Id, interrupts.Second);
            }
            else
            {
                var pause = at - cli.Clock.GetUtcNow();
                pause = pause < ShortestPause ? ShortestPause : pause > LongestPause ? LongestPause : pause;
                await Task.Delay(pause, cli.Clock, dropped ? interrupts.Second : interrupts.First).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            interrupts.Second.ThrowIfCancellationRequested();
            ended = await ReadAsync(ended.Id, interrupts.Second);
        }
        return (ended, ended.RetriedByTaskId is { } next ? await ReadAsync(next, interrupts.Second) : null);
    }

    /// <summary>False: the server did not answer; ask again after the next look.</summary>
    private async Task<bool> DropAsync(string taskId, CancellationToken leave)
    {
        cli.Say($"dropping the next attempt of {taskId}; Ctrl-C again leaves at once");
        try
        {
            await client.Tasks.CancelAsync(taskId, "interrupted at the command line", leave);
        }
        catch (ApiException e) when (e.Problem.Is(ErrorCode.StateConflict))
        {
            // It has just been made: it is followed, and cancelled there.
        }
        catch (Exception e) when (e is UnreachableException or ApiException { IsTransient: true })
        {
            return false;
        }
        return true;
    }

    private async Task<TaskBody> ReadAsync(string taskId, CancellationToken leave)
    {
        var (backoff, began) = (new Backoff(cli.Timeouts, cli.Clock), cli.Clock.GetTimestamp());
        while (true)
        {
            try
            {
                return await client.Tasks.GetAsync(taskId, leave);
            }
            catch (Exception e) when (e is UnreachableException or ApiException { IsTransient: true })
            {
                if (cli.Clock.GetElapsedTime(began) > cli.Timeouts.GiveUp)
                    throw new CliException($"no answer about {taskId} for {Text.Duration(cli.Clock.GetElapsedTime(began))}; its attempts go on without this command", $"see `tanvrit-compute jobs show {taskId}`", e);
                await backoff.PauseAsync(leave, (e as ApiException)?.RetryAfter);
            }
        }
    }
}
