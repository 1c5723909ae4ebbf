using Tanjiren.Bench;

const string Graphile = "graphile-worker";
const int Concurrency = 10;
const string NoopBaseline = "graphile-worker noop, concurrency 10";
const string SpawnBaseline = "graphile-worker spawn, concurrency 10";
const string VerifyBaseline = "ES256 verifications, all processors";
const string CatBaseline = "ssh cat";
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
    var report = new Report(settings, graphile.Version);
    if (settings.Measures("dispatch"))
        report.Latency("Dispatch: from the request to the first instruction", "Aim: p50 at or under graphile-worker + 1 ms, p99 under ssh.", await DispatchAsync(settings, graphile), Graphile);
    if (settings.Measures("noop"))
        report.Throughput("No-op jobs a second: created, claimed and completed, each committed", "Aim: 3,000 a second through our store on SQLite; through HTTP and DPoP 1 × graphile-worker.", await NoopAsync(settings, graphile), NoopBaseline);
    if (settings.Measures("commands"))
        report.Throughput("Commands a second: one agent, /bin/true", "Aim: 1.5 × graphile-worker that spawns /bin/true.", await CommandsAsync(settings, graphile), SpawnBaseline);
    if (settings.Measures("heartbeats"))
        report.Throughput("Heartbeats a second: DPoP verified and committed", "Aim: 0.5 × the ES256 verifications of the same runtime.", await HeartbeatsAsync(settings), VerifyBaseline);
    if (settings.Measures("logs"))
        report.Throughput("Output of one job in MiB a second: printed, stored, tailed", "Aim: 0.7 × `ssh host cat file`, memory flat.", await LogsAsync(settings), CatBaseline);
    if (settings.Measures("stored"))
        report.Growth("List and claim with very many tasks stored", "Aim: at most 2 × what it takes with 1,000.", await StoredFlows.MeasureAsync(settings, stop.Token), StoredTasks.Originals, settings.Stored);
    if (settings.Measures("doctrine"))
        report.Microseconds("The doctrine over one task: 200 rules, a command of 200 characters", "Aim: p50 under 100 µs.", await DoctrineEvaluations.MeasureAsync(settings, stop.Token));
    if (settings.Measures("masking"))
        report.Throughput("Masking a job's output, in MiB a second", "Aim: far above what a job's output takes elsewhere on its way (the table of its output), so that it is not felt.", await MaskedOutput.MeasureAsync(settings, stop.Token), MaskedOutput.Baseline);
    if (settings.Measures("idle"))
        report.Table("An agent with nothing to do", "Aim: 80 MB resident, under 0.1 % CPU.", await IdleAgent.MeasureAsync(settings, stop.Token));
    if (settings.Measures("fleet"))
        report.Table($"A fleet that beats every 30 s for {settings.FleetSeconds} s against one server on SQLite", "Each with its own key, token, session and connection; client and server share the machine.",
            await Fleet.MeasureAsync(settings.Workstations, TimeSpan.FromSeconds(settings.FleetSeconds), stop.Token));
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
], settings.Jobs, settings, stop.Token);

Task<IReadOnlyList<Measured>> CommandsAsync(BenchSettings settings, GraphileWorker graphile) => Rounds.ThroughputAsync(
[
    new("Tanjiren on SQLite", async () => await CommandJobs.StartAsync(settings, postgres: false, stop.Token)),
    new("Tanjiren on PostgreSQL", async () => await CommandJobs.StartAsync(settings, postgres: true, stop.Token)),
    new(SpawnBaseline, () => Task.FromResult(graphile.Noop("spawn", Concurrency, "the same with a handler that spawns /bin/true from Node and waits for its exit"))),
], settings.Jobs, settings, stop.Token);

Task<IReadOnlyList<Measured>> HeartbeatsAsync(BenchSettings settings) => Rounds.ThroughputAsync(
[
    new("Tanjiren on SQLite", async () => await HeartbeatLoad.StartAsync(settings, postgres: false, stop.Token)),
    new("Tanjiren on PostgreSQL", async () => await HeartbeatLoad.StartAsync(settings, postgres: true, stop.Token)),
    new(VerifyBaseline, () => Task.FromResult<IThroughputContender>(new SignatureChecks())),
], settings.Jobs * 4, settings, stop.Token);

async Task<IReadOnlyList<Measured>> LogsAsync(BenchSettings settings)
{
    var directory = Directory.CreateTempSubdirectory("tanjiren-bench-");
    try
    {
        var file = LogTail.CreateFile(directory.FullName, settings.Mebibytes);
        return await Rounds.ThroughputAsync(
        [
            new("Tanjiren", async () => await LogTail.StartAsync(file, stop.Token)),
            new(CatBaseline, () => Task.FromResult<IThroughputContender>(new SshCat(settings, file))),
        ], settings.Mebibytes, settings, stop.Token);
    }
    finally
    {
        directory.Delete(recursive: true);
    }
}
