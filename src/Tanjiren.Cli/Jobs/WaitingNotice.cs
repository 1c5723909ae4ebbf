using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>Says once, after a few seconds, that a job still waits for a workstation: silence would look like a hang.</summary>
internal sealed class WaitingNotice : IDisposable
{
    private readonly CliContext cli;
    private readonly TaskBody task;
    private readonly ITimer timer;
    private TaskState? last;
    private int done;

    public WaitingNotice(CliContext cli, TaskBody task)
    {
        (this.cli, this.task) = (cli, task);
        timer = cli.Clock.CreateTimer(_ => Tell(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        Look(task);
    }

    public void Look(TaskBody current)
    {
        // A planned job waits for a person, which ApprovalNotice tells; for a workstation it waits once it is queued.
        if (current.State == last) return;
        last = current.State;
        if (last is not (TaskState.Planned or TaskState.Queued)) Stop();
        else timer.Change(last == TaskState.Queued ? cli.Timeouts.TellWaiting : Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public void Stop() => Interlocked.Exchange(ref done, 1);

    public void Dispose()
    {
        Stop();
        timer.Dispose();
    }

    private void Tell()
    {
        if (Interlocked.Exchange(ref done, 1) == 0)
            cli.Say($"{task.Id} waits for {For(task.Targets)} (`tanvrit-compute jobs explain {task.Id}` says what keeps it; Ctrl-C cancels the job)");
    }

    /// <summary>The workstations that are meant, in words.</summary>
    public static string For(TargetSpec targets)
    {
        var conditions = (targets.Tags ?? []).Select(t => $"tag {t}")
            .Concat((targets.Labels ?? new Dictionary<string, string>()).Select(l => "<>".Contains(l.Value[0]) ? l.Key + l.Value : $"{l.Key}={l.Value}"));
        var names = targets.Workstations is { Count: > 0 } some ? string.Join(", ", some) : "a workstation";
        var with = string.Join(", ", conditions);
        return Text.Safe(with.Length == 0 ? names : $"{names} with {with}");
    }
}
