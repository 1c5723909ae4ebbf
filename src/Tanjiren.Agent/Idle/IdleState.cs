using System.Diagnostics.CodeAnalysis;

namespace Tanjiren.Agent.Idle;

/// <summary>What an agent does about having nothing to do.</summary>
internal enum IdlePhase
{
    /// <summary>The watchdog runs and the polls hang at the server. Every stir leads back here.</summary>
    Awake,
    /// <summary>Too long without work: whoever waits for it at the server is asked to stop waiting. Ends when nobody does any more.</summary>
    Settling,
    /// <summary>No watchdog, no poll; one heartbeat hangs at the server until there is work.</summary>
    Suspended,
}

/// <summary>
/// Whether the agent is suspended, and the word between its loops about it. No loop is ever stopped: each looks here before it waits for work. What brings work stirs first and offers
/// then, and only an agent in which nobody waits for work suspends; so a step can't be taken on while the watchdog is being sent away, and one that comes in that moment wakes.
/// </summary>
[SuppressMessage("Reliability", "CA1001", Justification = "Token sources without timers or links hold nothing, and a late visit may still look at one.")]
internal sealed class IdleState(TimeSpan after, TimeProvider clock)
{
    private readonly Lock gate = new();
    private TaskCompletionSource changed = NewSignal();
    private TaskCompletionSource beat = NewSignal();
    private CancellationTokenSource visits = new();
    private CancellationTokenSource hanging = new();
    private IdlePhase phase;
    private int inside;
    private long lastBusy = clock.GetTimestamp();
    private DateTimeOffset? since;

    /// <summary>False: this agent never suspends.</summary>
    public bool IsEnabled => after > TimeSpan.Zero;

    public IdlePhase Phase { get { lock (gate) return phase; } }

    /// <summary>When it was suspended; null while it is not.</summary>
    public DateTimeOffset? Since { get { lock (gate) return since; } }

    /// <summary>Cancelled when the suspension that is on now ends; null while there is none.</summary>
    public CancellationToken? Hanging { get { lock (gate) return phase == IdlePhase.Suspended ? hanging.Token : null; } }

    /// <summary>How long it must still have nothing to do; zero or less: it may suspend.</summary>
    public TimeSpan Left { get { lock (gate) return LeftLocked(); } }

    /// <summary>There is work, or may be: the time without it begins anew, and a suspension ends. True when there was one, or one was about to begin.</summary>
    public bool Stir()
    {
        CancellationTokenSource? over = null;
        lock (gate)
        {
            lastBusy = clock.GetTimestamp();
            if (phase == IdlePhase.Awake) return false;
            if (phase == IdlePhase.Suspended) (over, hanging) = (hanging, new CancellationTokenSource());
            visits = new CancellationTokenSource();
            (phase, since) = (IdlePhase.Awake, null);
            ChangedLocked();
            BeatenLocked();
        }
        over?.Cancel();
        return true;
    }

    /// <summary>Asks whoever waits for work to stop waiting. False: there was work too lately.</summary>
    public bool TrySettle()
    {
        CancellationTokenSource broken;
        lock (gate)
        {
            if (phase != IdlePhase.Awake || !IsEnabled || LeftLocked() > TimeSpan.Zero) return false;
            phase = IdlePhase.Settling;
            broken = visits;
            ChangedLocked();
        }
        broken.Cancel();
        return true;
    }

    /// <summary>False when somebody still waits for work, or has found some.</summary>
    public bool TrySuspend()
    {
        lock (gate)
        {
            if (phase != IdlePhase.Settling || inside > 0) return false;
            (phase, since) = (IdlePhase.Suspended, clock.GetUtcNow());
            ChangedLocked();
            return true;
        }
    }

    /// <summary>
    /// Does this if the agent is suspended, and before that can end: whoever has stirred finds it done, or never happening. It must be short and wait for nothing. False: it is not, and nothing was done.
    /// </summary>
    public bool WhileSuspended(Action act)
    {
        lock (gate)
        {
            if (phase != IdlePhase.Suspended) return false;
            act();
            return true;
        }
    }

    /// <summary>To be held while asking the server for work and acting on its answer. Null while it is not to be asked.</summary>
    public Visit? TryEnter()
    {
        lock (gate)
        {
            if (phase != IdlePhase.Awake) return null;
            inside++;
            return new Visit(this, visits.Token);
        }
    }

    public Task AwakeAsync(CancellationToken ct) => WaitAsync(s => s.phase == IdlePhase.Awake, ct);

    public Task SuspendedAsync(CancellationToken ct) => WaitAsync(s => s.phase == IdlePhase.Suspended, ct);

    /// <summary>Returns when nobody waits for work any more, or it settles no longer.</summary>
    public Task SettledAsync(CancellationToken ct) => WaitAsync(s => s.phase != IdlePhase.Settling || s.inside == 0, ct);

    /// <summary>The heartbeat was answered or lost: the one moment at which a suspended agent is up anyway.</summary>
    public void Beaten()
    {
        lock (gate) BeatenLocked();
    }

    /// <summary>At once while awake; else with the next heartbeat or the end of the suspension. For what must be looked at now and then: it wakes no machine by itself.</summary>
    public Task BeatAsync(CancellationToken ct)
    {
        lock (gate) return phase == IdlePhase.Suspended ? beat.Task.WaitAsync(ct) : Task.CompletedTask;
    }

    private void Leave()
    {
        lock (gate)
        {
            inside--;
            ChangedLocked();
        }
    }

    private TimeSpan LeftLocked() => after - clock.GetElapsedTime(lastBusy);

    private async Task WaitAsync(Func<IdleState, bool> reached, CancellationToken ct)
    {
        while (true)
        {
            Task next;
            lock (gate)
            {
                if (reached(this)) return;
                next = changed.Task;
            }
            await next.WaitAsync(ct);
        }
    }

    private void ChangedLocked()
    {
        changed.TrySetResult();
        changed = NewSignal();
    }

    private void BeatenLocked()
    {
        beat.TrySetResult();
        beat = NewSignal();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>One wait for work. <see cref="BreakOff"/> is cancelled when it shall end; an answer that is there already is acted on all the same.</summary>
    internal sealed class Visit(IdleState owner, CancellationToken breakOff) : IDisposable
    {
        public CancellationToken BreakOff => breakOff;

        public void Dispose() => owner.Leave();
    }
}
