using System.Diagnostics;

using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>
/// The server is lost and comes back from a backup that is older than what its agents did since: with real processes, by the real command line. An agent's
/// genuine result from before is refused, and nothing runs twice that nobody asked to.
/// </summary>
public sealed class RestoredServerTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_result_from_before_is_refused_and_nothing_runs_twice_until_the_owner_resumes()
    {
        await using var scene = await FaultScene.StartAsync(new SceneOptions { TtlSeconds = 10 });
        var (a, b) = (scene.Agents[0], scene.Agents[1]);
        // One runs while the backup is taken, one waits for a machine that is drained.
        var running = await SubmitAsync(scene, a, "running", graceSeconds: 60);
        await StartedAsync(scene, "running", 1);
        await scene.CliAsync("workstations", "drain", b.Name);
        var waiting = await SubmitAsync(scene, b, "waiting", graceSeconds: 1);
        Let("waiting");
        var file = _directory.File("backup");
        await scene.CliAsync("server", "backup", "--database", scene.DatabaseUrl, "--to", file);

        // More work, which the backup does not know: the waiting one runs and succeeds.
        await scene.CliAsync("workstations", "undrain", b.Name);
        (await scene.EndAsync(waiting.Id)).State.ShouldBe(StepState.Succeeded);
        Starts("waiting").ShouldBe(1);
        await scene.Server.KillAsync();
        var before = scene.Agents.ToDictionary(agent => agent, agent => agent.Proxy.Exchanges.Count);
        Let("running");
        await Eventually.TrueAsync(() => File.Exists(_directory.File("running.ended")), scene.Evidence, FaultScene.StartLimit, "the job ends while there is no server; its result waits in the outbox");

        var sinceRestore = Stopwatch.StartNew();
        (await scene.CliAsync("server", "restore", "--database", scene.DatabaseUrl, "--from", file, "--force")).ShouldContain("1 open job is held");
        await scene.Server.StartAgainAsync();
        foreach (var agent in scene.Agents)
            await Eventually.TrueAsync(() => agent.Proxy.Exchanges.Skip(before[agent]).Any(e => e.Path.EndsWith("/sessions", StringComparison.Ordinal) && e.Status == 200), scene.Evidence, FaultScene.StartLimit, "the agent opens a new session");
        await Eventually.TrueAsync(() => scene.Workspace.IsOnlineAsync(a.InstanceId), scene.Evidence, FaultScene.StartLimit, "the first agent is back");
        await Eventually.TrueAsync(() => scene.Workspace.IsOnlineAsync(b.InstanceId), scene.Evidence, FaultScene.StartLimit, "the second agent is back");

        var lost = await scene.Workspace.TaskAsync(running.Id);
        (lost.State, lost.Execution!.Steps[0].Reason).ShouldBe((TaskState.Failed, StepReason.WorkerLost));
        var held = await scene.Workspace.TaskAsync(waiting.Id);
        (held.State, held.Held).ShouldBe((TaskState.Queued, true));
        (await scene.CliAsync("jobs", "list")).ShouldContain("1 held since the server was restored");

        // Another job is claimed and run by the same agent meanwhile: it looks for work, and is not given what is held.
        Let("later");
        var later = await SubmitAsync(scene, b, "later", graceSeconds: 60);
        await scene.CliAsync("workstations", "undrain", b.Name); // the backup knew it drained
        (await scene.EndAsync(later.Id)).State.ShouldBe(StepState.Succeeded);
        (Starts("waiting"), Starts("running")).ShouldBe((1, 1));

        // An agent that is cut off could run it until its lease's 10 + 1 s are over: not before that, however often it is asked for.
        await Eventually.TrueAsync(async () =>
        {
            var (code, printed) = await scene.TryCliAsync("jobs", "resume");
            printed.ShouldContain(code == 0 ? "1 job goes on" : "may still run one of the held tasks until");
            return code == 0;
        }, scene.Evidence, FaultScene.StartLimit, "the owner may resume");
        sinceRestore.Elapsed.ShouldBeGreaterThan(TimeSpan.FromSeconds(11));
        var again = await scene.EndAsync(waiting.Id);
        (again.State, again.LeaseGeneration > 1L << 32).ShouldBe((StepState.Succeeded, true));
        (Starts("waiting"), Starts("running")).ShouldBe((2, 1), "the owner let that one go on, and only that one");
        a.Proxy.Exchanges.Skip(before[a]).ShouldNotContain(e => e.Path.EndsWith("/complete", StringComparison.Ordinal) && e.Status == 200, scene.Evidence());
        (await scene.Workspace.TaskAsync(running.Id)).State.ShouldBe(TaskState.Failed);
    }

    /// <summary>Notes each start, and ends when it is let.</summary>
    private async Task<TaskBody> SubmitAsync(FaultScene scene, RealAgent agent, string name, int graceSeconds) => await scene.Workspace.CreateTaskAsync(new CreateTaskRequest
    {
        Command = new CommandSpec { Shell = "echo start >> \"$DIR/$NAME.starts\"; while [ ! -e \"$DIR/$NAME.go\" ]; do sleep 0.05; done; : > \"$DIR/$NAME.ended\"" },
        Environment = new Dictionary<string, string> { ["DIR"] = _directory.Path, ["NAME"] = name },
        Targets = new TargetSpec { Workstations = [agent.InstanceId] },
        LeaseGraceSeconds = graceSeconds,
    });

    private void Let(string name) => File.Create(_directory.File(name + ".go")).Dispose();

    private int Starts(string name) => File.Exists(_directory.File(name + ".starts")) ? File.ReadAllLines(_directory.File(name + ".starts")).Length : 0;

    private Task StartedAsync(FaultScene scene, string name, int times) =>
        Eventually.TrueAsync(() => Starts(name) == times, scene.Evidence, FaultScene.StartLimit, $"{name} has started {times} times");
}
