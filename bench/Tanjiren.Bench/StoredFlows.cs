using System.Diagnostics;
using System.Globalization;

namespace Tanjiren.Bench;

/// <summary>What is asked of a store with many tasks: a list with at most one filter, the poll of a workstation, or a task from its creation to its completion.</summary>
internal sealed record StoredFlow(string Name, bool Finds = true)
{
    public string? State { get; init; }
    public string? Mode { get; init; }
    public string? Approval { get; init; }
    /// <summary><c>busy</c>: it ran a sixteenth of all; <c>idle</c>: it ran none.</summary>
    public string? Worker { get; init; }
    public bool FromTheMiddle { get; init; }
    /// <summary>Null: a list.</summary>
    public Func<StoredTasks, CancellationToken, Task>? Other { get; init; }
}

/// <summary>The same flows with few tasks stored and with very many, in turns.</summary>
internal static class StoredFlows
{
    private static readonly StoredFlow[] All =
    [
        new("list"),
        new("list, a page from the middle") { FromTheMiddle = true },
        new("list, status=completed") { State = "completed" },
        new("list, status=failed") { State = "failed" },
        new("list, status=queued (none)", Finds: false) { State = "queued" },
        new("list, mode=command") { Mode = "command" },
        new("list, mode=prompt (none)", Finds: false) { Mode = "prompt" },
        new("list, approval=not_required") { Approval = "not_required" },
        new("list, approval=pending (none)", Finds: false) { Approval = "pending" },
        new("list, worker of a sixteenth") { Worker = "busy" },
        new("list, worker of none", Finds: false) { Worker = "idle" },
        new("poll of a workstation") { Other = (stored, cancellation) => stored.PollAsync(cancellation) },
        new("create, claim, complete, each committed") { Other = (stored, cancellation) => stored.RunOneAsync(cancellation) },
    ];

    public static async Task<IReadOnlyList<Growth>> MeasureAsync(BenchSettings settings, CancellationToken cancellation)
    {
        var rows = new List<Growth>();
        foreach (var database in (string[])["SQLite", "PostgreSQL"])
        {
            var wanted = All.Where(flow => settings.Wants(NameOf(database, flow))).ToArray();
            if (wanted.Length == 0) continue;
            await using var few = await StoredTasks.StartAsync(settings, database == "PostgreSQL", StoredTasks.Originals, cancellation);
            await using var many = await StoredTasks.StartAsync(settings, database == "PostgreSQL", settings.Stored, cancellation);
            var measured = await Rounds.LatencyAsync([.. wanted.SelectMany(flow => (Entry<ILatencyContender>[])[Of(database, few, flow), Of(database, many, flow)])], settings, cancellation);
            rows.AddRange(measured.Chunk(2).Select((pair, i) => new Growth(NameOf(database, wanted[i]), pair[0], pair[1])));
        }
        return rows;
    }

    private static Entry<ILatencyContender> Of(string database, StoredTasks stored, StoredFlow flow)
    {
        var one = new Contender(string.Create(CultureInfo.InvariantCulture, $"{NameOf(database, flow)}, {stored.Count:#,0} stored"), stored, flow);
        return new(one.Name, () => Task.FromResult<ILatencyContender>(one));
    }

    private static string NameOf(string database, StoredFlow flow) => $"{database}: {flow.Name}";

    private sealed class Contender(string name, StoredTasks stored, StoredFlow flow) : ILatencyContender
    {
        public string Name => name;

        public string Measures => "one after another, through the services that the routes call";

        public async Task<double[]> SampleAsync(int count, CancellationToken cancellation)
        {
            var times = new double[count];
            for (var i = 0; i < count; i++)
            {
                var from = Stopwatch.GetTimestamp();
                await (flow.Other?.Invoke(stored, cancellation) ?? stored.ListAsync(flow, cancellation));
                times[i] = Stopwatch.GetElapsedTime(from).TotalMilliseconds;
            }
            return times;
        }

        /// <summary>The store is shared with the others and ends with them.</summary>
        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}

/// <summary>One flow with few and with many tasks stored.</summary>
internal sealed record Growth(string Name, Measured Few, Measured Many);
