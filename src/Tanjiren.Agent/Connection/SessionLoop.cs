using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Connection;

/// <summary>
/// The session loop: opens a session at the start and after one has ended. Before it asks, everything that ran under the old one is dead; until
/// it is granted, nothing new runs. So a copied home cannot act beside the original, whatever its files say.
/// </summary>
internal sealed partial class SessionLoop(RunnerParts parts, Reconciler reconciler, string bootId)
{
    private readonly ILogger log = parts.Log;

    /// <summary>What a person should know while no session can be opened, or null.</summary>
    public string? Notice { get; private set; }

    public async Task RunAsync(CancellationToken ct)
    {
        while (true)
        {
            foreach (var runner in parts.Steps.All) runner.LetGo();
            await parts.Steps.WaitAsync(steps => steps.Active == 0, ct);
            await reconciler.KillLeftoversAsync(ct);
            if (await OpenAsync(reconciler.Reports(), ct) is not { } session)
            {
                // Only a person can help; the agent is being stopped for it, and this loop is not the one that failed.
                await Task.Delay(Timeout.InfiniteTimeSpan, parts.Clock, ct);
                return;
            }
            parts.Sessions.Opened(session);
            // Longer than any session lives without a word: the wait ends by the signal.
            while (!await parts.Sessions.SessionNeeded.WaitAsync(TimeSpan.FromHours(1), parts.Clock, ct)) { }
        }
    }

    private async Task<string?> OpenAsync(IReadOnlyList<StepReport> reports, CancellationToken ct)
    {
        var backoff = new Backoff(parts.Options.Timeouts.BackoffFirst, parts.Options.Timeouts.BackoffMax);
        string? sessionId = null;
        while (true)
        {
            sessionId ??= await NewSessionAsync(ct);
            parts.Options.Life?.Invoke(AgentLife.Alive);
            var reply = await parts.Client.OpenSessionAsync(Request(sessionId, reports), ct);
            if (reply.IsOk)
            {
                Notice = null;
                LogOpened(sessionId);
                reconciler.Apply(reply.Value!.Leases);
                return sessionId;
            }
            TimeSpan pause;
            switch (reply.Kind)
            {
                case ReplyKind.IdentityInUse:
                    // The server's words name both hosts. The other may be a dead predecessor of this one: then this ends by itself.
                    Tell($"Another agent acts as this workstation, so this one ({Environment.MachineName}) runs nothing: {reply.Words} If this home is a copy, pair it as a machine of its own.");
                    pause = parts.Options.Timeouts.SlowRetry;
                    break;
                case ReplyKind.SessionEnded:
                    // This very id was taken over or forgotten; a new one may be granted.
                    sessionId = null;
                    pause = backoff.Next();
                    break;
                case ReplyKind.SignedOut:
                    parts.Sessions.SignIn.Ended(reply.Words);
                    Notice = null;
                    pause = parts.Options.Timeouts.SignedOutRetry;
                    break;
                case ReplyKind.ClockRefused:
                    Notice = parts.Client.ClockNotice;
                    pause = parts.Options.Timeouts.SlowRetry;
                    break;
                case ReplyKind.Unavailable:
                    pause = backoff.Next(reply.RetryAfter);
                    break;
                case ReplyKind.KeyRevoked:
                    parts.Sessions.Fail(SessionKeeper.KeyIsUnknown(reply.Words));
                    return null;
                case ReplyKind.KeyRotated:
                    parts.Sessions.Fail(SessionKeeper.KeyIsElsewhere(reply.Words));
                    return null;
                case ReplyKind.NotFound:
                    parts.Sessions.Fail($"The server has no such workstation (it may have been removed): {reply.Words} Pair this machine again with 'agent pair'.");
                    return null;
                default:
                    Tell($"The server does not open a session: {reply.Words}");
                    pause = parts.Options.Timeouts.SlowRetry;
                    break;
            }
            await Task.Delay(pause, parts.Clock, ct);
        }
    }

    /// <summary>The id is durable before its first use: a lost answer is repeated with it, and the next life names it as its predecessor.</summary>
    private async Task<string> NewSessionAsync(CancellationToken ct)
    {
        var sessionId = Ids.New(Ids.Session, parts.Clock);
        while (true)
        {
            try
            {
                parts.Journal.Append(new JournalEntry { Kind = JournalKind.Session, SessionId = sessionId }, durable: true);
                return sessionId;
            }
            catch (IOException e)
            {
                parts.Options.Life?.Invoke(AgentLife.Alive);
                Tell($"The journal in '{parts.Options.Home}' cannot be written, so no session is opened: {e.Message}");
                await Task.Delay(parts.Options.Timeouts.SlowRetry, parts.Clock, ct);
            }
        }
    }

    private OpenSessionRequest Request(string sessionId, IReadOnlyList<StepReport> reports) => new()
    {
        SessionId = sessionId,
        MachineId = parts.MachineId,
        BootId = bootId,
        HostName = Environment.MachineName,
        AgentVersion = parts.Options.AgentVersion,
        PreviousSessionIds = parts.Journal.Read(s => s.Sessions.Where(id => id != sessionId).Take(5).ToList()),
        Steps = reports,
    };

    private void Tell(string words)
    {
        if (Notice != words) LogCannotOpen(words);
        Notice = words;
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Session {SessionId} is open")]
    private partial void LogOpened(string sessionId);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Words}")]
    private partial void LogCannotOpen(string words);
}
