using System.Diagnostics;
using System.Globalization;
using Tanjiren.Agent;
using Tanjiren.Protocol;

namespace Tanjiren.Bench;

/// <summary>What an agent costs that has nothing to do: its process and its watchdog's; and suspended, how long a job waits until it is awake.</summary>
internal static class IdleAgent
{
    /// <summary>The least that agent.yaml takes.</summary>
    private const int SuspendSeconds = 10;

    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    public static async Task<string> MeasureAsync(BenchSettings settings, CancellationToken cancellation)
    {
        var during = TimeSpan.FromSeconds(settings.IdleSeconds);
        string with, without;
        await using (var server = await ControlPlaneProcess.StartAsync(postgres: null, cancellation))
        {
            await server.StartAgentAsync(cancellation);
            await Task.Delay(WarmUp, TimeProvider.System, cancellation);
            with = await CostAsync(server, during, cancellation);
            server.StopServer();
            await Task.Delay(WarmUp, TimeProvider.System, cancellation);
            without = await CostAsync(server, during, cancellation);
        }
        var (suspended, wakes) = await SuspendedAsync(settings, during, cancellation);
        return $"""
            | | resident MiB, agent + watchdog | CPU % of one processor |
            |---|---|---|
            | with its server | {with} |
            | without a server | {without} |
            | suspended, with its server | {suspended} |

            {wakes}
            """;
    }

    private static async Task<(string Cost, string Wakes)> SuspendedAsync(BenchSettings settings, TimeSpan during, CancellationToken cancellation)
    {
        await using var server = await ControlPlaneProcess.StartAsync(postgres: null, cancellation);
        // Where the agent's own user would write it.
        var tanvrit = Directory.CreateDirectory(Path.Combine(server.Home, "tanvrit")).FullName;
        await File.WriteAllTextAsync(Path.Combine(tanvrit, "agent.yaml"), string.Create(CultureInfo.InvariantCulture, $"idleSuspendSeconds: {SuspendSeconds}\n"), cancellation);
        var instance = await server.StartAgentAsync(cancellation);
        using var fifo = new StampFifo();
        var task = new CreateTaskRequest { Command = new CommandSpec { Argv = [settings.Stamp, fifo.Path] }, Targets = new TargetSpec { Workstations = [instance] } };
        var cost = "";
        var (asleep, awake) = (new double[settings.Wakes], new double[settings.Wakes]);
        for (var i = 0; i < settings.Wakes; i++)
        {
            await ControlPlaneProcess.WaitAsync(() => Task.FromResult(IsSuspended(server)), "the agent is suspended", cancellation, Patience);
            // After a job, so that what it takes to run one has been in memory.
            if (i == 1 || settings.Wakes == 1) cost = await CostAsync(server, during, cancellation);
            asleep[i] = await DispatchAsync(server, fifo, task, cancellation);
            awake[i] = await DispatchAsync(server, fifo, task, cancellation);
        }
        return (cost, string.Create(CultureInfo.InvariantCulture, $"""
            | POST /api/tasks sent → first instruction of the child | p50 ms | p99 ms | samples |
            |---|---|---|---|
            | suspended | {Statistics.Quantile(asleep, 0.5):0.0} | {Statistics.Quantile(asleep, 0.99):0.0} | {asleep.Length} |
            | the next job, awake | {Statistics.Quantile(awake, 0.5):0.0} | {Statistics.Quantile(awake, 0.99):0.0} | {awake.Length} |
            """));
    }

    private static bool IsSuspended(ControlPlaneProcess server)
    {
        try
        {
            return AgentStatus.Load(Path.Combine(server.Home, "agent")) is { SuspendedSince: not null } && ProcessUsage.Tree(server.AgentPid).Count == 1;
        }
        catch (IOException)
        {
            // A thread ended while its children were read.
            return false;
        }
    }

    private static async Task<double> DispatchAsync(ControlPlaneProcess server, StampFifo fifo, CreateTaskRequest task, CancellationToken cancellation)
    {
        var from = Stopwatch.GetTimestamp();
        var created = await server.CreateTaskAsync(task, cancellation);
        var took = (await fifo.ReadAsync(cancellation) - from) / 1e6;
        await ControlPlaneProcess.WaitAsync(async () => (await server.TaskAsync(created.Id, cancellation)).State == TaskState.Completed, "the task has completed", cancellation);
        return took;
    }

    private static async Task<string> CostAsync(ControlPlaneProcess server, TimeSpan during, CancellationToken cancellation)
    {
        var tree = ProcessUsage.Tree(server.AgentPid);
        var before = ProcessUsage.CpuMicroseconds(tree);
        await Task.Delay(during, TimeProvider.System, cancellation);
        var percent = (ProcessUsage.CpuMicroseconds(tree) - before) / during.TotalMicroseconds * 100;
        return string.Create(CultureInfo.InvariantCulture, $"{string.Join(" + ", tree.Select(pid => ProcessUsage.ResidentMiB(pid).ToString("0", CultureInfo.InvariantCulture)))} | {percent:0.00}");
    }
}
