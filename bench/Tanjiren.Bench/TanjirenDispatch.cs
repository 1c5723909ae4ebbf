using System.Diagnostics;
using Tanjiren.Protocol;

namespace Tanjiren.Bench;

/// <summary>Our whole way: server and agent are real processes, and the child is a real process of the agent.</summary>
internal sealed class TanjirenDispatch : ILatencyContender
{
    private readonly BenchSettings _settings;
    private readonly ControlPlaneProcess _server;
    private readonly string _instance;
    private readonly StampFifo _fifo = new();

    private TanjirenDispatch(BenchSettings settings, string database, ControlPlaneProcess server, string instance) =>
        (_settings, Name, _server, _instance) = (settings, $"Tanjiren on {database}", server, instance);

    public string Name { get; }

    public string Measures => "POST /api/tasks sent → first instruction of the child: task committed, long-poll answered, claim proved and committed, journals fsynced, spawned; server and agent are processes of their own";

    public static async Task<TanjirenDispatch> StartAsync(BenchSettings settings, bool postgres, CancellationToken cancellation)
    {
        var server = await ControlPlaneProcess.StartAsync(postgres ? settings.Postgres : null, cancellation);
        try
        {
            return new TanjirenDispatch(settings, postgres ? "PostgreSQL" : "SQLite", server, await server.StartAgentAsync(cancellation));
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    public async Task<double[]> SampleAsync(int count, CancellationToken cancellation)
    {
        var task = new CreateTaskRequest
        {
            Command = new CommandSpec { Argv = [_settings.Stamp, _fifo.Path] },
            Targets = new TargetSpec { Workstations = [_instance] },
        };
        var samples = new double[count];
        for (var i = 0; i < count; i++)
        {
            var from = Stopwatch.GetTimestamp();
            var created = await _server.CreateTaskAsync(task, cancellation);
            samples[i] = (await _fifo.ReadAsync(cancellation) - from) / 1e6;
            // Until its completion is committed, as for the peer: the next sample meets an idle worker.
            await ControlPlaneProcess.WaitAsync(async () => (await _server.TaskAsync(created.Id, cancellation)).State == TaskState.Completed, "the task has completed", cancellation);
        }
        return samples;
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _fifo.Dispose();
    }
}
