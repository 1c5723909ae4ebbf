namespace Tanjiren.Simulation.Tests;

/// <summary>One run of a program or of a machine. What it had planned dies with it.</summary>
internal sealed class Life
{
    public bool Over { get; private set; }

    public void End() => Over = true;
}

/// <summary>Something with a processor that may sleep: what falls due meanwhile happens within a second of its waking.</summary>
internal abstract class Host(World world)
{
    private const long LongestWakingMs = 900;

    private readonly List<(Life Life, Action Act)> _missed = [];

    protected World World { get; } = world;

    public bool Asleep { get; private set; }

    /// <summary>When it last awoke; long ago when it never slept.</summary>
    public long AwokeAt { get; private set; } = long.MinValue / 2;

    public virtual void Sleep() => Asleep = true;

    public virtual void Wake()
    {
        Asleep = false;
        AwokeAt = World.Now;
        foreach (var (life, act) in _missed) After(life, World.Between(0, LongestWakingMs), act);
        _missed.Clear();
    }

    public void After(Life life, long delayMs, Action act) => World.After(delayMs, () =>
    {
        if (life.Over) return;
        if (Asleep) _missed.Add((life, act));
        else act();
    });
}
