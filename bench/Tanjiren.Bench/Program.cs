using Tanjiren.Bench;

const string Graphile = "graphile-worker";
const int Concurrency = 10;
const string NoopBaseline = "graphile-worker noop, concurrency 10";
using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, key) =>
{
    key.Cancel = true;
    stop.Cancel();
};

try
{
    var settings = BenchSettings.Parse(args);
    await using var graphile = await GraphileWorker.StartAsync(settings, stop.Token);
    IReadOnlyList<Measured>? dispatch = null, noop = null;
    if (settings.Verb is "dispatch" or "all")
        dispatch = await DispatchAsync(settings, graphile);
    if (settings.Verb is "noop" or "all")
        noop = await NoopAsync(settings, graphile);

    var report = new Report(settings, graphile.Version);
    if (dispatch is not null)
        report.Latency("Dispatch: from the request to the first instruction", "Aim: p50 at or under graphile-worker + 1 ms, p99 under ssh.", dispatch, Graphile);
    if (noop is not null)
        report.Throughput("No-op jobs a second: created, claimed and completed, each committed", "Aim: 3,000 a second through our store on SQLite; through HTTP and DPoP 1 × graphile-worker.", noop, NoopBaseline);
    Console.WriteLine(report);
    if (settings.Out is not null)
        await File.WriteAllTextAsync(settings.Out, report.ToString(), stop.Token);
    return 0;
}
catch (FormatException wrong)
{
    await Console.Error.WriteLineAsync(wrong.Message);
    return 2;
}

Task<IReadOnlyList<Measured>> DispatchAsync(BenchSettings settings, GraphileWorker graphile) => Rounds.LatencyAsync(
[
    new("Tanjiren on SQLite", async () => await TanjirenDispatch.StartAsync(settings, postgres: false, stop.Token)),
    new("Tanjiren on PostgreSQL", async () => await TanjirenDispatch.StartAsync(settings, postgres: true, stop.Token)),
    new(Graphile, () => Task.FromResult(graphile.Dispatch())),
    new("ssh, multiplexed", () => Task.FromResult<ILatencyContender>(Launcher.Ssh(settings))),
    new("posix_spawn alone", () => Task.FromResult<ILatencyContender>(Launcher.Spawn(settings))),
    new(".NET Process.Start alone", () => Task.FromResult<ILatencyContender>(new DotnetSpawn(settings))),
], settings, stop.Token);

Task<IReadOnlyList<Measured>> NoopAsync(BenchSettings settings, GraphileWorker graphile) => Rounds.ThroughputAsync(
[
    new("Tanjiren store on SQLite", async () => await StoreNoop.StartAsync(settings, postgres: false, stop.Token)),
    new("Tanjiren store on PostgreSQL", async () => await StoreNoop.StartAsync(settings, postgres: true, stop.Token)),
    new("Tanjiren through HTTP and DPoP on SQLite", async () => await HttpNoop.StartAsync(settings, postgres: false, stop.Token)),
    new("Tanjiren through HTTP and DPoP on PostgreSQL", async () => await HttpNoop.StartAsync(settings, postgres: true, stop.Token)),
    new(NoopBaseline, () => Task.FromResult(graphile.Noop("noop", Concurrency, "jobs added by 16 producers, one commit each, while one worker runs them"))),
    new("graphile-worker batched", () => Task.FromResult(graphile.Noop("batched", Concurrency, "the same with its local queue and batched completions: fewer commits than jobs"))),
    new("graphile-worker drain", () => Task.FromResult(graphile.Noop("drain", Concurrency, "jobs added beforehand in one statement (its own perfTest): claim and completion only"))),
], settings, stop.Token);
