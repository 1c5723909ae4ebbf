using System.Globalization;
using System.Text.Json;

namespace Tanjiren.Bench;

/// <summary>graphile-worker on the same PostgreSQL, in one Node process that adds the jobs and runs them: the most favourable set-up for it.</summary>
internal sealed class GraphileWorker : IAsyncDisposable
{
    private readonly LineProcess _node;

    private GraphileWorker(LineProcess node, string version) => (_node, Version) = (node, version);

    public string Version { get; }

    public ILatencyContender Dispatch() => new Latency(this);

    public IThroughputContender Noop(string verb, int concurrency, string measures) => new Throughput(this, verb, concurrency, measures);

    public static async Task<GraphileWorker> StartAsync(BenchSettings settings, CancellationToken cancellation)
    {
        var node = new LineProcess("node", [Path.Combine(settings.Peers, "graphile-worker.cjs")],
            new Dictionary<string, string> { ["DATABASE_URL"] = settings.Postgres, ["NODE_PATH"] = settings.GraphileModules, ["NODE_ENV"] = "production" });
        using var ready = JsonDocument.Parse(await node.ReadLineAsync(cancellation));
        return new GraphileWorker(node, $"{ready.RootElement.GetProperty("version")} on Node {ready.RootElement.GetProperty("node")}");
    }

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    private sealed class Latency(GraphileWorker owner) : ILatencyContender
    {
        public string Name => "graphile-worker";

        public string Measures => "addJob called → first instruction of the task's handler (in process), row committed before";

        public async Task<double[]> SampleAsync(int count, CancellationToken cancellation)
        {
            using var answer = JsonDocument.Parse(await owner._node.AskAsync(string.Create(CultureInfo.InvariantCulture, $"dispatch {count}"), cancellation));
            return [.. answer.RootElement.GetProperty("ms").EnumerateArray().Select(value => value.GetDouble())];
        }

        // The process belongs to the GraphileWorker, which several contenders share.
        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    private sealed class Throughput(GraphileWorker owner, string verb, int concurrency, string measures) : IThroughputContender
    {
        public string Name => string.Create(CultureInfo.InvariantCulture, $"graphile-worker {verb}, concurrency {concurrency}");

        public string Measures => measures;

        public async Task<double> RunAsync(int items, CancellationToken cancellation)
        {
            using var answer = JsonDocument.Parse(await owner._node.AskAsync(string.Create(CultureInfo.InvariantCulture, $"{verb} {items} {concurrency}"), cancellation));
            return answer.RootElement.GetProperty("perSecond").GetDouble();
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
