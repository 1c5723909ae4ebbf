using Tanjiren.Agent.Leases;
using Tanjiren.Agent.Limits;
using Tanjiren.Agent.Masking;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <content>From the granted claim to the recorded exit: what must stand before a process may exist, its life, and what its end means.</content>
internal sealed partial class StepRunner
{
    private async Task ExecuteAsync(ClaimResponse claim, StepShare given)
    {
        var held = Lease!;
        using var run = trace.Run();
        if (!await VerifyAsync(claim)) return;
        var (chosen, unfit) = StepWorks.Of(claim, parts, () => masks);
        if (chosen is null)
        {
            await FinishAsync(StepResult.Failed(StepReason.RejectedByAgent, unfit!), 0);
            return;
        }
        work = chosen;
        if (given.Refusal is { } refusal)
        {
            await FinishAsync(StepResult.Failed(StepReason.RejectedByAgent, refusal), 0);
            return;
        }
        if (given.Devices is null)
        {
            await EndUnspawnedAsync();
            return;
        }
        var environment = given.Equip(JobEnvironment.With(JobEnvironment.Build(claim, run.Context), work.Environment));
        masks = StepMasks.Of(parts.Options.Settings.Mask, environment, claim.Secrets);
        if (masks.TooShort.Count > 0) LogNotMasked(StepId, string.Join(", ", masks.TooShort));
        var mark = ProcessMarks.New();
        using var spawn = trace.Spawn();
        if (!await PrepareAsync(held, mark)) return;

        ILaunchedProcess process;
        var startedAt = parts.Platform.BootNowMs();
        try
        {
            process = parts.Platform.Launcher.Launch(new LaunchRequest
            {
                StepId = StepId,
                Mark = mark,
                Argv = work.Argv,
                WorkingDirectory = claim.WorkingDirectory ?? JobCommand.HomeDirectory(),
                Environment = environment,
                Processors = given.Processors,
                Input = work.NeedsInput,
            });
        }
        catch (SpawnFailedException e)
        {
            TryJournal(new JournalEntry { Kind = JournalKind.NotSpawned, ClaimId = ClaimId }, durable: false);
            parts.Watchdog.Forget(StepId);
            await FinishAsync(StepResult.Failed(StepReason.SpawnFailed, e.Message), 0);
            return;
        }
        spawn.Dispose();
        parts.Limits.Watch(given, new GuardedTree(mark, process.Pid, process.StartTime), Exceed);
        var exit = await WatchAsync(claim, process, mark, held);
        await RecordExitAsync(held, exit, startedAt, given);
    }

    /// <summary>Whether the control plane has signed for exactly what is about to run. False: it is not to run, and what follows from that is done.</summary>
    private async Task<bool> VerifyAsync(ClaimResponse claim)
    {
        var verdict = await parts.Assignments.VerifyAsync(claim, pending, ClaimId, giveUp.Token);
        if (verdict.Problem is { } problem)
        {
            LogRejected(StepId, problem);
            await FinishAsync(StepResult.Failed(StepReason.RejectedByAgent, problem), 0);
            return false;
        }
        if (verdict.Later is { } later)
        {
            LogNotStarted(StepId, later);
            await EndUnspawnedAsync();
            return false;
        }
        assignment = claim.Assignment;
        // Its time counts from the request, on the clock that counts sleep: an answer that was held back on the way, or verified late, does not give it anew.
        if (parts.Platform.BootNowMs() >= Lease!.HardDeadlineBootMs) Stop(StopReason.Timeout);
        return true;
    }

    /// <summary>Everything that must stand before a process may exist. False: it may not, and what follows from that is done.</summary>
    private async Task<bool> PrepareAsync(Lease held, ulong mark)
    {
        if (IsStoppedOrLate(held))
        {
            await EndUnspawnedAsync();
            return false;
        }
        try
        {
            parts.Journal.ReserveResult(ClaimId, work!.Responds ? Journal.ResponseRoom : Journal.ResultRoom);
            parts.Watchdog.Watch(StepId, mark, held.WatchdogDeadlineBootMs(parts.Options.Timeouts.WatchdogSlack));
            parts.Journal.Append(new JournalEntry { Kind = JournalKind.Spawning, ClaimId = ClaimId, Mark = mark, MachineId = parts.MachineId, Assignment = assignment }, durable: true);
            // The disk may have taken long: look again, now that nothing but the spawn itself lies ahead.
            if (!IsStoppedOrLate(held)) return true;
        }
        catch (Exception e) when (e is IOException or WatchdogLostException)
        {
            LogNotStarted(StepId, masks.Text(e.Message));
        }
        TryJournal(new JournalEntry { Kind = JournalKind.NotSpawned, ClaimId = ClaimId }, durable: true);
        parts.Watchdog.Forget(StepId);
        await EndUnspawnedAsync();
        return false;
    }

    private bool IsStoppedOrLate(Lease held)
    {
        lock (gate) return stop != StopReason.None || parts.Steps.Draining || parts.Platform.BootNowMs() >= held.DeadlineBootMs;
    }

    /// <summary>The step was claimed and provably never ran.</summary>
    private async Task EndUnspawnedAsync()
    {
        StopReason reason;
        lock (gate) reason = stop;
        switch (reason)
        {
            case StopReason.Cancel:
                await FinishAsync(new CompleteRequest { Outcome = StepOutcome.Cancelled, Reason = StepReason.Cancelled }, 0);
                break;
            case StopReason.Timeout:
                await FinishAsync(StepResult.Failed(StepReason.Timeout, "Its time was over before it could be started."), 0);
                break;
            case StopReason.LeaseLost:
                End();
                upload!.SayNothing();
                break;
            case StopReason.SessionEnded:
                End(); // the next session's report decides
                break;
            default:
                End();
                TryJournal(new JournalEntry { Kind = JournalKind.Releasing, ClaimId = ClaimId, Generation = lease!.Generation }, durable: true);
                upload!.Release(lease.Generation);
                break;
        }
    }

    /// <summary>Lets the process run on its own thread, to its end.</summary>
    private async Task<ProcessExit> WatchAsync(ClaimResponse claim, ILaunchedProcess process, ulong mark, Lease held)
    {
        using var timer = parts.Clock.CreateTimer(_ => Stop(StopReason.Timeout), null,
            TimeSpan.FromMilliseconds(Math.Clamp(held.HardDeadlineBootMs - parts.Platform.BootNowMs(), 0, LongestTimerMs)), Timeout.InfiniteTimeSpan);
        Pid = process.Pid;
        output = new StepOutput(upload!.Chunks, parts.Outbox.Budget, parts.Options.MaxStepLogBytes, parts.Options.Timeouts, parts.Clock, log, upload.Wake, masks);
        var ended = new TaskCompletionSource<ProcessExit>(TaskCreationOptions.RunContinuationsAsynchronously);
        StopReason earlier;
        ProcessTree fresh;
        lock (gate)
        {
            tree = fresh = parts.Platform.Tree(mark, StepId, process.Pid, process.StartTime);
            phase = StepPhase.Running;
            Tick();
            earlier = stop;
            if (earlier != StopReason.None) firstSignalAt = parts.Platform.BootNowMs();
        }
        // A thread of its own: a blocked pipe, a spent budget or a full disk must hold up this step and no other.
        new Thread(() => RunProcess(process, claim, ended), maxStackSize: 256 * 1024) { IsBackground = true, Name = StepId }.Start();
        // A stop that came while the process was being made has found no tree to kill.
        if (earlier != StopReason.None) Kill(fresh, earlier);
        TryJournal(new JournalEntry { Kind = JournalKind.Spawned, ClaimId = ClaimId, Pid = process.Pid, StartTime = process.StartTime }, durable: false);
        parts.Watchdog.Root(StepId, process.Pid, process.StartTime);
        LogStarted(StepId, process.Pid);
        return await ended.Task;
    }

    private void RunProcess(ILaunchedProcess process, ClaimResponse claim, TaskCompletionSource<ProcessExit> ended)
    {
        var job = work!;
        try
        {
            using (process)
            {
                if (JobEnvironment.WithheldNotice(claim.EnvironmentFromMachine) is { } notice) output!.Write(LogStream.System, notice, Tick);
                if (masks.Notice() is { } unmasked) output!.Write(LogStream.System, unmasked, Tick);
                job.Started(new WorkSeat(process.Input, (stream, data) => output!.Write(stream, data, Tick), () => Retire(process), Deliver, parts.Platform.BootNowMs, masks));
                var exit = process.Run((stream, data) =>
                {
                    Tick();
                    job.Take(stream, data);
                }, () =>
                {
                    Tick();
                    job.Tick();
                });
                lock (gate) phase = StepPhase.Exited;
                kills.RootEnded();
                job.Ended();
                output!.Finish(Tick);
                ended.TrySetResult(exit);
            }
        }
        catch (Exception e)
        {
            // Carried to the awaiting side, where it ends the agent: a step whose thread died would never end otherwise.
            ended.TrySetException(e);
        }
    }

    /// <summary>The work is done and the process is of no more use. It is no stop of the step: the result stands.</summary>
    private void Retire(ILaunchedProcess process)
    {
        process.Input?.Close();
        kills.Start(tree!, parts.Options.Timeouts.TurnGrace);
    }

    /// <summary>Writes an answer down, durably, and only then lets it be sent. On a full disk the step waits, as it does with its output; one that is given up waits no more.</summary>
    private void Deliver(StepAnswerRequest answer)
    {
        var durable = answer with { LeaseGeneration = lease!.Generation };
        while (!TryJournal(new JournalEntry { Kind = JournalKind.Answer, ClaimId = ClaimId, Answer = durable }, durable: true))
        {
            Tick();
            if (giveUp.Token.WaitHandle.WaitOne(parts.Options.Timeouts.DiskRetry)) return;
        }
        answers.Add(durable);
        upload!.Answer(durable);
    }

    private async Task RecordExitAsync(Lease held, ProcessExit exit, long startedAt, StepShare given)
    {
        var end = work!.Conclude(exit);
        StopReason reason;
        var overMemory = given.Group?.WasOverMemory() == true;
        lock (gate)
        {
            if (overMemory) exceeded ??= given.Caps.OverMemory(given.Group!.PeakBytes() ?? given.Caps.MemoryBytes ?? 0);
            treeEnded = true;
            var deadline = held.DeadlineAt(exit.EndedAtBootMs);
            reason = StepResult.Effective(stop, exit with { EndedAtBootMs = end.EndedAtBootMs }, firstSignalAt, deadline, Math.Min(deadline, held.WatchdogDeadlineBootMs(parts.Options.Timeouts.WatchdogSlack)), overMemory && end.EndedAtBootMs >= exit.EndedAtBootMs);
        }
        // What has lost its mark and its parent is in the group still, whichever way the root ended.
        given.Group?.Kill();
        // Nothing is said before the tree is dead: with the result the server may offer the step again.
        var survivors = await kills.AllAsync(exit.Leftovers);
        leftBehind = survivors is not null;
        parts.Watchdog.Forget(StepId);
        LogExited(StepId, exit.ExitCode, exit.Signal, reason);
        switch (reason)
        {
            case StopReason.LeaseLost:
                upload!.SayNothing();
                break;
            case StopReason.SessionEnded:
                break; // the journal says "spawned, no result": the next session's report decides
            default:
                var words = (reason == StopReason.None ? end.Words : StepResult.Of(reason, exit, exceeded)) with { Response = end.Response, Usage = end.Usage };
                await FinishAsync(StepResult.WithSurvivors(words, survivors), Math.Max(0, exit.EndedAtBootMs - startedAt));
                break;
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "{StepId}: not masked, because they have fewer than 6 characters: {Names}")]
    private partial void LogNotMasked(string stepId, string names);

    [LoggerMessage(Level = LogLevel.Information, Message = "{StepId} runs as process {Pid}")]
    private partial void LogStarted(string stepId, int pid);

    [LoggerMessage(Level = LogLevel.Information, Message = "{StepId} ended: exit code {ExitCode}, signal {Signal}, stopped for {Reason}")]
    private partial void LogExited(string stepId, int? exitCode, string? signal, StopReason reason);

    [LoggerMessage(Level = LogLevel.Error, Message = "{StepId} is not started, and fails: {Problem}")]
    private partial void LogRejected(string stepId, string problem);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{StepId} was not started and goes back: {Reason}")]
    private partial void LogNotStarted(string stepId, string reason);
}
