using System.Globalization;
using System.Security.Cryptography;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;

namespace Tanjiren.Bench;

/// <summary>
/// Thousands of workstations that beat every 30 s, each with its own key, token, session and connection, spread over the interval as real ones are.
/// Only their registration is short: the rows of instances and keys are written, where people would pair.
/// </summary>
internal static class Fleet
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(30);

    public static async Task<string> MeasureAsync(int size, TimeSpan during, CancellationToken cancellation)
    {
        var keys = Enumerable.Range(0, size).Select(_ => ECDsa.Create(ECCurve.NamedCurves.nistP256)).ToArray();
        var ids = Enumerable.Range(0, size).Select(_ => Ids.New(Ids.Instance, TimeProvider.System)).ToArray();
        await using var server = await ControlPlaneProcess.StartAsync(postgres: null, cancellation, seed: (database, organization) => SeedAsync(database, organization, ids, keys, cancellation));
        var workstations = ids.Zip(keys, (id, key) => new SimulatedWorkstation(server.Url, id, key)).ToArray();
        try
        {
            await SharedWork.PerSecondAsync(size, 32, Counter(workstations, one => one.OpenSessionAsync(cancellation)));
            await Console.Error.WriteLineAsync($"{size} sessions are open");
            var latencies = new List<double>();
            // One interval to warm up, which does not count.
            await BeatAsync(workstations, Interval, _ => { }, cancellation);
            var cpu = ProcessUsage.CpuMicroseconds(server.Processes);
            var from = TimeProvider.System.GetTimestamp();
            await BeatAsync(workstations, during, ms =>
            {
                lock (latencies) latencies.Add(ms);
            }, cancellation);
            var wall = TimeProvider.System.GetElapsedTime(from);
            cpu = ProcessUsage.CpuMicroseconds(server.Processes) - cpu;
            return string.Create(CultureInfo.InvariantCulture, $"""
                | workstations | heartbeats | a second | p50 ms | p99 ms | longest ms | CPU % of one processor, server | µs a heartbeat | resident MiB, server (most ever) |
                |---|---|---|---|---|---|---|---|---|
                | {size} | {latencies.Count} | {latencies.Count / wall.TotalSeconds:0} | {Statistics.Quantile(latencies, 0.5):0.0} | {Statistics.Quantile(latencies, 0.99):0.0} | {latencies.Max():0} | {cpu / wall.TotalMicroseconds * 100:0.0} | {cpu / latencies.Count:0} | {ProcessUsage.ResidentMiB(server.Processes[0]):0} ({ProcessUsage.PeakMiB(server.Processes[0]):0}) |
                """);
        }
        finally
        {
            foreach (var workstation in workstations) workstation.Dispose();
            foreach (var key in keys) key.Dispose();
        }
    }

    private static Func<int, Task> Counter(SimulatedWorkstation[] workstations, Func<SimulatedWorkstation, Task> act)
    {
        var next = -1;
        return _ => act(workstations[Interlocked.Increment(ref next)]);
    }

    /// <summary>Each beats at its own moment of the interval; a late answer delays only its own next beat.</summary>
    private static Task BeatAsync(SimulatedWorkstation[] workstations, TimeSpan during, Action<double> took, CancellationToken cancellation)
    {
        var clock = TimeProvider.System;
        var from = clock.GetTimestamp();
        return Task.WhenAll(workstations.Select((workstation, i) => Task.Run(async () =>
        {
            for (var due = Interval * ((double)i / workstations.Length); due < during; due += Interval)
            {
                var wait = due - clock.GetElapsedTime(from);
                if (wait > TimeSpan.Zero) await Task.Delay(wait, clock, cancellation);
                var sent = clock.GetTimestamp();
                await workstation.BeatAsync(cancellation);
                took(clock.GetElapsedTime(sent).TotalMilliseconds);
            }
        }, cancellation)));
    }

    private static Task SeedAsync(Database database, string organization, string[] ids, ECDsa[] keys, CancellationToken cancellation) => database.WriteAsync(async tx =>
    {
        for (var i = 0; i < ids.Length; i++)
        {
            var jwk = Jwk.FromKey(keys[i]);
            await tx.ExecuteAsync("""
                INSERT INTO instances (id, organization_id, name, created_at) VALUES (@id, @organization, @id, 0);
                INSERT INTO instance_keys (id, instance_id, jkt, x, y, created_at) VALUES (@key, @id, @jkt, @x, @y, 0);
                """, new { id = ids[i], organization, key = Ids.New(Ids.Key, TimeProvider.System), jkt = jwk.Thumbprint(), x = jwk.X, y = jwk.Y });
        }
    }, cancellation);
}
