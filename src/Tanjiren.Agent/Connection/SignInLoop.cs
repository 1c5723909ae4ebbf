using Tanjiren.Agent.Execution;

namespace Tanjiren.Agent.Connection;

/// <summary>
/// The sign-in loop: looks whether the sign-in that the machine was registered with is still on it. When it is gone nothing new is taken, whatever the server says, which may not have heard of it; the
/// next heartbeat tells it, so that jobs go elsewhere.
/// </summary>
internal sealed class SignInLoop(RunnerParts parts, HeartbeatLoop heartbeat)
{
    public async Task RunAsync(CancellationToken ct)
    {
        while (true)
        {
            await Task.Delay(parts.Options.Timeouts.SignInLook, parts.Clock, ct);
            await parts.Idle.BeatAsync(ct);
            if (RunOnce()) heartbeat.Wake();
        }
    }

    /// <summary>One look; true when something changed. Also before anything is taken: an agent that starts signed out must not begin with a job.</summary>
    public bool RunOnce()
    {
        var gone = parts.Options.SignInGone();
        parts.Steps.HoldOff(gone is not null);
        return parts.Sessions.SignIn.Found(gone);
    }
}
