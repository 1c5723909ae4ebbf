using System.Globalization;

namespace Tanjiren.Bench;

/// <summary>What an agent costs that has nothing to do: its process and its watchdog's.</summary>
internal static class IdleAgent
{
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(20);

    public static async Task<string> MeasureAsync(TimeSpan during, CancellationToken cancellation)
    {
        await using var server = await ControlPlaneProcess.StartAsync(postgres: null, cancellation);
        await server.StartAgentAsync(cancellation);
        await Task.Delay(WarmUp, TimeProvider.System, cancellation);
        var with = await CostAsync(server, during, cancellation);
        server.StopServer();
        await Task.Delay(WarmUp, TimeProvider.System, cancellation);
        var without = await CostAsync(server, during, cancellation);
        return $"""
            | | resident MiB, agent + watchdog | CPU % of one processor |
            |---|---|---|
            | with its server | {with} |
            | without a server | {without} |
            """;
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
