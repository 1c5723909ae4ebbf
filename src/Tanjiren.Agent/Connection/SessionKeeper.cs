namespace Tanjiren.Agent.Connection;

/// <summary>
/// The session that every request names. Every loop asks here and waits while there is none, so nothing is claimed, renewed or reported under a
/// session that another machine may have taken over. Opening one is <see cref="SessionLoop"/>'s.
/// </summary>
internal sealed partial class SessionKeeper(ILogger log)
{
    private readonly Lock gate = new();
    private readonly TaskCompletionSource<string> fatal = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource<string> open = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Whether the machine is signed out.</summary>
    public SignIn SignIn { get; } = new(log);

    /// <summary>Wakes the session loop when a session has ended.</summary>
    public Pulse SessionNeeded { get; } = new();

    /// <summary>Completes with a sentence for the user when only a person can help: the key is revoked or another, the workstation is gone.</summary>
    public Task<string> Fatal => fatal.Task;

    /// <summary>The open session, or null while there is none.</summary>
    public string? Current
    {
        get { lock (gate) return open.Task.IsCompletedSuccessfully ? open.Task.Result : null; }
    }

    public Task<string> CurrentAsync(CancellationToken ct)
    {
        lock (gate) return open.Task.WaitAsync(ct);
    }

    public void Opened(string sessionId)
    {
        lock (gate) open.TrySetResult(sessionId);
    }

    /// <summary>
    /// Looks at how a request of <paramref name="sessionId"/> was taken, for what concerns the session and not the request. Answers true when
    /// the caller need not look further: it waits for the next session, or the agent stops.
    /// </summary>
    public bool Concerns<T>(string sessionId, Reply<T> reply) where T : class
    {
        switch (reply.Kind)
        {
            case ReplyKind.SessionEnded or ReplyKind.IdentityInUse:
                End(sessionId, reply.Words);
                return true;
            case ReplyKind.KeyRevoked:
                Fail(KeyIsUnknown(reply.Words));
                // Nobody goes on asking under a key that is refused, while the agent stops.
                End(sessionId, reply.Words);
                return true;
            case ReplyKind.KeyRotated:
                Fail(KeyIsElsewhere(reply.Words));
                End(sessionId, reply.Words);
                return true;
            case ReplyKind.SignedOut:
                // Neither the session nor the lease: whoever asked tries again, slowly.
                SignIn.Ended(reply.Words);
                return false;
            default:
                return false;
        }
    }

    public static string KeyIsUnknown(string words) =>
        $"The server no longer knows this machine's key: {words} While the workstation exists, recover it: ask an admin for a recovery code ('workstations recover') and run 'agent recover'. If it was removed, pair this machine again with 'agent pair'.";

    public static string KeyIsElsewhere(string words) => $"This workstation has another key now, which is not in this home: {words} Ask an admin for a recovery code and run 'agent recover'.";

    public void Fail(string message) => fatal.TrySetResult(message);

    private void End(string sessionId, string words)
    {
        lock (gate)
        {
            // Late answers of an earlier session say nothing about this one.
            if (!open.Task.IsCompletedSuccessfully || open.Task.Result != sessionId) return;
            open = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        LogEnded(sessionId, words);
        SessionNeeded.Set();
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Session {SessionId} has ended; everything that runs under it is killed: {Words}")]
    private partial void LogEnded(string sessionId, string words);
}
