using System.Globalization;
using Tanjiren.Agent;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Agents;

/// <summary>An agent with nothing to do, as a process of its own with a real watchdog, against a real server (acceptance 7).</summary>
public sealed class IdleSuspendTests
{
    /// <summary>The least that agent.yaml takes.</summary>
    private const int IdleSeconds = 10;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task It_keeps_one_request_is_online_and_is_woken_by_each_job()
    {
        await using var scene = await FaultScene.StartAsync(new SceneOptions { TtlSeconds = 30, GraceSeconds = 30 });
        var agent = await scene.PairAnotherAsync("sleepy", _ => { });
        var settings = Directory.CreateDirectory(Path.Combine(Path.GetDirectoryName(agent.Home)!, "tanvrit-sleepy")).FullName;
        await File.WriteAllTextAsync(Path.Combine(settings, "agent.yaml"), $"idleSuspendSeconds: {IdleSeconds}\n", Ct);
        agent.Start();
        AgentStatus? Status() => AgentStatus.Load(agent.Home);

        var waits = new List<double>();
        for (var round = 0; round < 3; round++)
        {
            await Eventually.TrueAsync(() => Status()?.SuspendedSince is not null, scene.Evidence, FaultScene.StartLimit, "it is suspended");
            await Eventually.TrueAsync(() => Watchdogs(agent.Process.Id) == 0, scene.Evidence, FaultScene.StartLimit, "its watchdog has gone");
            await Eventually.TrueAsync(() => agent.Proxy.Exchanges[^1] is { AnsweredAt: null } last && last.Path.EndsWith("/heartbeat", StringComparison.Ordinal), scene.Evidence, FaultScene.StartLimit, "its heartbeat hangs");
            (await scene.Workspace.IsOnlineAsync(agent.InstanceId)).ShouldBeTrue();
            var task = await scene.Workspace.CreateTaskAsync(new CreateTaskRequest { Command = new CommandSpec { Argv = ["/bin/true"] }, Targets = new TargetSpec { Workstations = [agent.InstanceId] } });
            var step = await scene.EndAsync(task.Id);
            (step.State, step.Attempts).ShouldBe((StepState.Succeeded, 1), scene.Evidence());
            waits.Add((step.ClaimedAt!.Value - task.CreatedAt).TotalMilliseconds);
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"created -> claimed by a suspended agent: {string.Join(", ", waits.Select(ms => ms.ToString("0", CultureInfo.InvariantCulture)))} ms");

        await Eventually.TrueAsync(() => Status()?.SuspendedSince is not null, scene.Evidence, FaultScene.StartLimit, "it is suspended again");
        (await agent.Process.TerminateAsync()).ShouldBe(0, agent.Log.Tail());
    }

    /// <summary>Its child processes: nothing runs but the watchdog.</summary>
    private static int Watchdogs(int agent)
    {
        try
        {
            return Directory.GetDirectories($"/proc/{agent}/task").Sum(thread => File.ReadAllText(Path.Combine(thread, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries).Length);
        }
        catch (IOException)
        {
            // A thread ended meanwhile: look again.
            return -1;
        }
    }
}
