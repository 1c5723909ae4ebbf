using System.Globalization;
using Tanjiren.Protocol;

namespace Tanjiren.Bench;

/// <summary>Jobs that each start a process: the whole way of a command, many at once, through one real agent.</summary>
internal sealed class CommandJobs : IThroughputContender
{
    public const int Producers = 16;
    public const int Concurrency = 10;

    private readonly ControlPlaneProcess _server;
    private readonly CreateTaskRequest _task;
    private double _cpu;

    private CommandJobs(ControlPlaneProcess server, string instance, string database)
    {
        (_server, Name) = (server, $"Tanjiren on {database}, one agent, {Concurrency} at once");
        _task = new CreateTaskRequest { Command = new CommandSpec { Argv = ["/bin/true"] }, Targets = new TargetSpec { Workstations = [instance] } };
    }

    public string Name { get; }

    public string Measures => string.Create(CultureInfo.InvariantCulture,
        $"{Producers} producers create jobs over HTTP while one agent claims, journals, spawns /bin/true, and completes them; until the last is committed; {_cpu:0} µs of CPU a job in server, agent and children, in the last round");

    public static async Task<CommandJobs> StartAsync(BenchSettings settings, bool postgres, CancellationToken cancellation)
    {
        var server = await ControlPlaneProcess.StartAsync(postgres ? settings.Postgres : null, cancellation);
        return new CommandJobs(server, await server.StartAgentAsync(cancellation, Concurrency), postgres ? "PostgreSQL" : "SQLite");
    }

    public async Task<double> RunAsync(int items, CancellationToken cancellation)
    {
        var before = ProcessUsage.CpuMicroseconds(_server.Processes);
        var clock = TimeProvider.System;
        var from = clock.GetTimestamp();
        await SharedWork.PerSecondAsync(items, Producers, async _ => await _server.CreateTaskAsync(_task, cancellation));
        await ControlPlaneProcess.WaitAsync(async () => !await _server.AnyTaskAsync(TaskState.Queued, cancellation) && !await _server.AnyTaskAsync(TaskState.Executing, cancellation),
            "every job has ended", cancellation, TimeSpan.FromMinutes(10));
        var rate = items / clock.GetElapsedTime(from).TotalSeconds;
        _cpu = (ProcessUsage.CpuMicroseconds(_server.Processes) - before) / items;
        return rate;
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();
}
