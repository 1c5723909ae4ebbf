namespace Tanjiren.Agent.Connection;

/// <summary>
/// Whether the sign-in that this workstation stands on still lasts, as the server's answers tell. Once it has ended nothing new is taken; what runs is finished, and
/// the loops keep asking slowly, for a person may sign in again at any time.
/// </summary>
internal sealed partial class SignIn(ILogger log)
{
    private readonly Lock gate = new();

    /// <summary>What a person should know while the machine is signed out, or null.</summary>
    public string? Notice { get; private set; }

    /// <summary>The server has refused a request because the sign-in has ended. Said once, however many loops hear it.</summary>
    public void Ended(string words)
    {
        lock (gate)
        {
            if (Notice is not null) return;
            Notice = $"Signed out: {words} What runs is finished and reported; nothing new is taken. Sign in with 'tanvrit-compute auth login' and run 'tanvrit-compute agent run' once more: this agent then goes on.";
        }
        LogEnded(Notice);
    }

    /// <summary>The server has answered a request for work, so it gives some again.</summary>
    public void Back()
    {
        lock (gate)
        {
            if (Notice is null) return;
            Notice = null;
        }
        LogBack();
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "{Notice}")]
    private partial void LogEnded(string notice);

    [LoggerMessage(Level = LogLevel.Information, Message = "Signed in again; taking work")]
    private partial void LogBack();
}
