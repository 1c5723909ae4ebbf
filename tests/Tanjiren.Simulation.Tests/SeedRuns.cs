using System.Diagnostics;

namespace Tanjiren.Simulation.Tests;

/// <summary>Many seeds, on two threads of their own: each seed on one of them from beginning to end.</summary>
internal static class SeedRuns
{
    private const int Threads = 2;
    private const int StackBytes = 16 * 1024 * 1024;

    /// <summary>One seed, with its whole story.</summary>
    public static SeedOutcome Tell(int seed, Template template)
    {
        SeedOutcome? outcome = null;
        var thread = new Thread(() => outcome = SeedRun.Run(seed, template, keepsTrace: true), StackBytes);
        thread.Start();
        thread.Join();
        return outcome!;
    }

    /// <summary>Runs these seeds and adds up what happened. The outcomes that failed, by seed.</summary>
    public static IReadOnlyList<SeedOutcome> Run(IEnumerable<int> seeds, Template template, Totals totals)
    {
        var failed = new SortedDictionary<int, SeedOutcome>();
        var left = new Queue<int>(seeds);
        Exception? broken = null;
        var gate = new Lock();
        var (began, busy) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
        // Threads without a synchronisation context: what a seed awaits goes on where it is, or not at all.
        List<Thread> threads = [.. Enumerable.Range(0, Threads).Select(_ => new Thread(Work, StackBytes) { IsBackground = true })];
        foreach (var thread in threads) thread.Start();
        foreach (var thread in threads) thread.Join();
        if (broken is not null) throw new InvalidOperationException($"A seed could not be run: {broken.Message}", broken);
        totals.ProcessorSeconds += (Environment.CpuUsage.TotalTime - busy).TotalSeconds;
        totals.Seconds += Stopwatch.GetElapsedTime(began).TotalSeconds;
        return [.. failed.Values];

        void Work()
        {
            while (true)
            {
                int seed;
                lock (gate)
                {
                    // The first few that fail say enough.
                    if (broken is not null || failed.Count >= 3 || !left.TryDequeue(out seed)) return;
                }
                try
                {
                    var outcome = SeedRun.Run(seed, template);
                    lock (gate)
                    {
                        totals.Add(outcome);
                        if (outcome.Failure is not null) failed[seed] = outcome;
                    }
                }
                catch (Exception e)
                {
                    lock (gate) broken ??= new InvalidOperationException($"seed {seed}: {e.Message}", e);
                    return;
                }
            }
        }
    }
}

/// <summary>Over all seeds that were run.</summary>
internal sealed class Totals
{
    public int Seeds { get; set; }
    public long Events { get; set; }
    public long Faults { get; set; }
    public long Tasks { get; set; }
    public double Seconds { get; set; }
    public double ProcessorSeconds { get; set; }
    public Ledger Ledger { get; } = new();

    public void Add(SeedOutcome outcome)
    {
        Seeds++;
        (Events, Faults, Tasks) = (Events + outcome.Events, Faults + outcome.Faults, Tasks + outcome.Tasks);
        Ledger.Add(outcome.Ledger.Counts);
    }

    public string Line => $"{Seeds} seeds, {Events} events, {Faults} faults, {Tasks} tasks in {Seconds:0} s ({1000 * ProcessorSeconds / Math.Max(1, Seeds):0} ms of a processor a seed)";
}
