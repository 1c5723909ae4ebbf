using System.Diagnostics.CodeAnalysis;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.Connection;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>Whose questions they are.</summary>
/// <param name="StepId">The step.</param>
/// <param name="Generation">Of its lease: the server takes no question of another one.</param>
/// <param name="CodingAgent">By its name in agent.yaml.</param>
/// <param name="Timeout">How long an answer is waited for.</param>
internal sealed record PermissionAsker(string StepId, long Generation, string CodingAgent, TimeSpan Timeout);

/// <summary>
/// Asks the server, which asks people. Each question is a request that is repeated under one id until it is taken, then a hanging one until it is answered: a connection that is
/// lost, a server that restarts and a session that is opened anew cost a repetition. Without an answer in time it is denied here, also when no server can be reached.
/// </summary>
internal sealed partial class LivePermissions(PermissionAsker asker, PermissionText text, ControlPlaneClient client, SessionKeeper sessions, AgentTimeouts timeouts,
    Func<long> bootNowMs, TimeProvider clock, ILogger log) : IPermissionAnswers
{
    private readonly ILogger log = log;
    private readonly Lock gate = new();
    // By the question itself: an agent may use an id again.
    private readonly Dictionary<PermissionQuestion, Open> open = new(ReferenceEqualityComparer.Instance);
    private readonly HashSet<Task> running = [];
    private readonly CancellationTokenSource ended = new();

    public void Ask(PermissionQuestion question, Action<PermissionAnswer> answer)
    {
        var one = new Open(Ids.New(Ids.Permission, clock), question, answer, bootNowMs() + (long)(asker.Timeout + timeouts.PermissionSlack).TotalMilliseconds);
        lock (gate)
        {
            open[question] = one;
            TrackLocked(() => FindOutAsync(one));
        }
    }

    public void Settled(PermissionQuestion question, PermissionTold told)
    {
        lock (gate)
        {
            if (!open.Remove(question, out var one)) return;
            TrackLocked(async () =>
            {
                // Not in this call: what is woken by it may be anything.
                await one.Settled.CancelAsync();
                await TellAsync(one, told);
            });
        }
    }

    public async ValueTask DisposeAsync()
    {
        await ended.CancelAsync();
        Task[] left;
        lock (gate) left = [.. running];
        await Task.WhenAll(left).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        ended.Dispose();
    }

    private void TrackLocked(Func<Task> work)
    {
        if (ended.IsCancellationRequested) return;
        var task = Task.Run(work);
        running.Add(task);
        _ = task.ContinueWith(done =>
        {
            lock (gate) running.Remove(done);
            if (done.Exception?.InnerException is { } e && e is not OperationCanceledException) LogFailed(asker.StepId, e);
        }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>Until it is answered or settled. Whatever happens, it is answered: an agent that waits for ever would hold its step until that one's own end.</summary>
    private async Task FindOutAsync(Open one)
    {
        PermissionAnswer? answer = null;
        try
        {
            answer = await AnswerOfAsync(one);
        }
        catch (OperationCanceledException) when (one.Settled.IsCancellationRequested || ended.IsCancellationRequested)
        {
            return;
        }
        finally
        {
            if (!one.Settled.IsCancellationRequested && !ended.IsCancellationRequested) one.Answer(answer ?? new PermissionAnswer(PermissionVerdict.Deny, "the question could not be asked"));
        }
    }

    private async Task<PermissionAnswer> AnswerOfAsync(Open one)
    {
        var request = text.Of(one.Question, one.Id, asker.Generation, asker.CodingAgent);
        var backoff = new Backoff(timeouts.BackoffFirst, timeouts.BackoffMax);
        var taken = false;
        while (true)
        {
            var left = one.DeadlineBootMs - bootNowMs();
            if (left <= 0) return new PermissionAnswer(PermissionVerdict.Deny, taken ? "no answer reached this machine in time" : "no server could be reached in time");
            using var time = new CancellationTokenSource(TimeSpan.FromMilliseconds(left), clock);
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(time.Token, one.Settled.Token, ended.Token);
            try
            {
                var session = await sessions.CurrentAsync(stop.Token);
                var began = clock.GetTimestamp();
                var reply = taken ? await client.AwaitPermissionAsync(session, asker.StepId, one.Id, stop.Token) : await client.AskPermissionAsync(session, asker.StepId, request, stop.Token);
                if (reply.IsOk)
                {
                    taken = true;
                    backoff.Reset();
                    if (reply.Value!.State != PermissionState.Pending) return Of(reply.Value);
                    // By the server's clock from now on: it is the one that refuses a late answer.
                    one.DeadlineBootMs = bootNowMs() + (reply.Value.RemainingMs ?? 0) + (long)timeouts.PermissionSlack.TotalMilliseconds;
                    // One that stops answers at once, and would again.
                    if (clock.GetElapsedTime(began) < timeouts.RefusalPause) await Task.Delay(timeouts.RefusalPause, clock, stop.Token);
                    continue;
                }
                if (sessions.Concerns(session, reply)) continue;
                if (IsFinal(reply.Kind)) return new PermissionAnswer(PermissionVerdict.Deny, $"the server does not take the question: {reply.Words}");
                await Task.Delay(Pause(reply, backoff), clock, stop.Token);
            }
            catch (OperationCanceledException) when (time.IsCancellationRequested && !one.Settled.IsCancellationRequested && !ended.IsCancellationRequested)
            {
                // The deadline, which is looked at again: it may have moved, and the machine may have slept.
            }
        }
    }

    /// <summary>Tells the server what became of it, so that people see it and nobody answers what nobody asks. Best effort: with the step's end it is withdrawn anyway.</summary>
    private async Task TellAsync(Open one, PermissionTold told)
    {
        var backoff = new Backoff(timeouts.BackoffFirst, timeouts.BackoffMax);
        try
        {
            while (true)
            {
                var session = await sessions.CurrentAsync(ended.Token);
                var reply = await client.SettlePermissionAsync(session, asker.StepId, one.Id, new SettlePermissionRequest { Told = told }, ended.Token);
                if (reply.IsOk || !sessions.Concerns(session, reply) && IsFinal(reply.Kind)) return;
                await Task.Delay(Pause(reply, backoff), clock, ended.Token);
            }
        }
        catch (OperationCanceledException) when (ended.IsCancellationRequested)
        {
            // The step has ended, and its result says the rest.
        }
    }

    private TimeSpan Pause<T>(Reply<T> reply, Backoff backoff) where T : class => reply.Kind switch
    {
        ReplyKind.ClockRefused => timeouts.SlowRetry,
        _ => backoff.Next(reply.RetryAfter),
    };

    /// <summary>No repetition will be taken.</summary>
    private static bool IsFinal(ReplyKind kind) => kind is ReplyKind.LeaseLost or ReplyKind.NotClaimable or ReplyKind.NotFound or ReplyKind.Refused or ReplyKind.TooLarge or ReplyKind.SignedOut;

    private static PermissionAnswer Of(PermissionStanding standing) => standing switch
    {
        { State: PermissionState.Answered, Verdict: PermissionVerdict.Allow } => new PermissionAnswer(PermissionVerdict.Allow, standing.Because ?? "", standing.OptionId),
        // Nothing else is a yes.
        _ => new PermissionAnswer(PermissionVerdict.Deny, standing.Because ?? "", standing.State == PermissionState.Answered ? standing.OptionId : null),
    };

    [LoggerMessage(Level = LogLevel.Error, Message = "A question of {StepId} could not be asked; it is denied")]
    private partial void LogFailed(string stepId, Exception exception);

    /// <summary>A question that was not settled yet.</summary>
    [SuppressMessage("Reliability", "CA1001", Justification = "A token source without a timer holds nothing.")]
    private sealed class Open(string id, PermissionQuestion question, Action<PermissionAnswer> answer, long deadlineBootMs)
    {
        public string Id => id;
        public PermissionQuestion Question => question;
        public Action<PermissionAnswer> Answer => answer;
        public long DeadlineBootMs { get; set; } = deadlineBootMs;
        public CancellationTokenSource Settled { get; } = new();
    }
}
