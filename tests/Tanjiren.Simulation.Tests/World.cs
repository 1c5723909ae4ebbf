namespace Tanjiren.Simulation.Tests;

/// <summary>
/// Virtual time, the one source of chance, and the queue of what is to happen. Everything of a seed runs on one thread, so the seed alone decides. Times are
/// milliseconds of true time since the start; no machine's own clock shows it.
/// </summary>
internal sealed class World(int seed, bool keepsTrace = false)
{
    /// <summary>Many times what any seed needs: something goes round in circles.</summary>
    private const int MostActs = 2_000_000;

    private readonly PriorityQueue<Action, (long At, long Order)> _queue = new();
    private readonly HashSet<long> _instants = [];
    private long _order;
    private int _acts;

    public Random Random { get; } = new(seed);
    public Ledger Ledger { get; } = new();
    public Names Names { get; } = new();
    public Trace Trace { get; } = new(keepsTrace);
    public long Now { get; private set; }

    /// <summary>The server has told an agent that it has the result of a step: by generation and digest.</summary>
    public Action<string, long, string> ResultAccepted { get; set; } = (_, _, _) => { };

    /// <summary>The server has told an agent that it had its result already.</summary>
    public Action<string, long, string> ResultKnown { get; set; } = (_, _, _) => { };

    /// <summary>Called after each act.</summary>
    public Action Acted { get; set; } = () => { };

    /// <summary>The first promise that was broken; nothing goes on after it.</summary>
    public string? Failure { get; private set; }

    /// <summary>What happened so far: what the trace tells, each message that arrived and each pass of a loop. Ticks of clocks and waits are not counted.</summary>
    public int Events { get; private set; }

    public void Happened() => Events++;

    public void After(long delayMs, Action act) => _queue.Enqueue(act, (Now + Math.Max(0, delayMs), ++_order));

    /// <summary>Does what comes next. False when nothing is left, or nothing may go on.</summary>
    public bool Step()
    {
        if (Failure is not null || !_queue.TryDequeue(out var act, out var due)) return false;
        if (++_acts > MostActs) Fail($"{MostActs} acts, and no end");
        Now = Math.Max(Now, due.At);
        act();
        Acted();
        return Failure is null;
    }

    /// <summary>
    /// This reading of a wall clock, or the next millisecond that nobody has read yet: ids are ordered by the clock and at random within a millisecond, and then chance
    /// that is not the seed's would decide which of two comes first. Reading a clock takes time, as any work does.
    /// </summary>
    public long Instant(long wallOffsetMs)
    {
        while (!_instants.Add(Now + wallOffsetMs)) Now++;
        return Now + wallOffsetMs;
    }

    public void Say(string what)
    {
        Happened();
        Trace.Add(Now, what);
    }

    public void Fail(string promise)
    {
        if (Failure is not null) return;
        Failure = promise;
        Say("BROKEN: " + promise);
    }

    public bool Chance(double probability) => Random.NextDouble() < probability;

    public long Between(long least, long most) => Random.NextInt64(least, most + 1);

    public T Pick<T>(IReadOnlyList<T> among) => among[Random.Next(among.Count)];
}

/// <summary>What happened, in order. Two runs of a seed must tell the same.</summary>
internal sealed class Trace(bool keepsAll)
{
    private const int Kept = 60;

    private readonly Queue<string> _last = new();

    public int Count { get; private set; }

    public void Add(long at, string what)
    {
        Count++;
        _last.Enqueue($"{at,9} {what}");
        if (!keepsAll && _last.Count > Kept) _last.Dequeue();
    }

    /// <summary>All of it, or the last of it.</summary>
    public IReadOnlyList<string> Lines => [.. _last];
}

/// <summary>Short names for ids, which are random in part: <c>step2</c> is the second step that was spoken of.</summary>
internal sealed class Names
{
    private readonly Dictionary<string, string> _names = [];
    private readonly Dictionary<string, int> _counts = [];

    public string Of(string? id)
    {
        if (id is null) return "-";
        if (_names.TryGetValue(id, out var name)) return name;
        var kind = id[..Math.Max(0, id.IndexOf('_'))];
        var number = _counts[kind] = _counts.GetValueOrDefault(kind) + 1;
        return _names[id] = kind + number;
    }

    public void Give(string id, string name) => _names[id] = name;
}
