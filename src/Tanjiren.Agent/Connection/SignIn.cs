namespace Tanjiren.Agent.Connection;

/// <summary>
/// Whether the sign-in that this workstation stands on still lasts: by the server's answers, and by whether it is still on this machine. Once it has ended nothing new is taken; what runs is
/// finished, and the loops keep asking slowly, for a person may sign in again at any time. Either side may be the first to know, or the only one: a server that could not be reached by
/// <c>auth logout</c> goes on giving work.
/// </summary>
internal sealed partial class SignIn(ILogger log)
{
    private readonly Lock gate = new();
    private string? refused;
    private string? gone;

    /// <summary>What a person should know while the machine is signed out, or null.</summary>
    public string? Notice
    {
        get { lock (gate) return refused ?? gone; }
    }

    /// <summary>The server has refused a request because the sign-in has ended. Said once, however many loops hear it.</summary>
    public void Ended(string words)
    {
        string notice;
        lock (gate)
        {
            if (refused is not null) return;
            notice = refused = SignedOut(words);
            if (gone is not null) return; // said already
        }
        LogEnded(notice);
    }

    /// <summary>The server has answered a request for work, so it gives some again.</summary>
    public void Back()
    {
        lock (gate)
        {
            if (refused is null) return;
            refused = null;
            if (gone is not null) return;
        }
        LogBack();
    }

    /// <summary>What a look at this machine has found: why the sign-in is no longer here, or null. True when that is news.</summary>
    public bool Found(string? words)
    {
        string? notice;
        lock (gate)
        {
            if ((words is null) == (gone is null)) return false;
            gone = notice = words is null ? null : SignedOut(words);
            if (refused is not null) return true; // said already, and not over yet
        }
        if (notice is null) LogBack();
        else LogEnded(notice);
        return true;
    }

    private static string SignedOut(string words) =>
        $"Signed out: {words} What runs is finished and reported; nothing new is taken. Sign in with 'tanvrit-compute auth login' and run 'tanvrit-compute agent run' once more: this agent then goes on.";

    [LoggerMessage(Level = LogLevel.Error, Message = "{Notice}")]
    private partial void LogEnded(string notice);

    [LoggerMessage(Level = LogLevel.Information, Message = "Signed in again; taking work")]
    private partial void LogBack();
}
