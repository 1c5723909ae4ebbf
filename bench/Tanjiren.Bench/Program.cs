using Tanjiren.Bench;

const string Graphile = "graphile-worker";
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

async Task<IReadOnlyList<Measured>> DispatchAsync(BenchSettings settings, GraphileWorker graphile)
{
    await using var peer = graphile.Dispatch();
    await using var ssh = Launcher.Ssh(settings);
    await using var spawn = Launcher.Spawn(settings);
    await using var dotnet = new DotnetSpawn(settings);
    return await Rounds.LatencyAsync([peer, ssh, spawn, dotnet], settings, stop.Token);
}

async Task<IReadOnlyList<Measured>> NoopAsync(BenchSettings settings, GraphileWorker graphile)
{
    const int Concurrency = 10;
    await using var noop = graphile.Noop("noop", Concurrency, "jobs added by 16 producers, one commit each, while one worker runs them");
    await using var batched = graphile.Noop("batched", Concurrency, "the same with its local queue and batched completions: fewer commits than jobs");
    await using var drain = graphile.Noop("drain", Concurrency, "jobs added beforehand in one statement (its own perfTest): claim and completion only");
    return await Rounds.ThroughputAsync([noop, batched, drain], settings, stop.Token);
}
