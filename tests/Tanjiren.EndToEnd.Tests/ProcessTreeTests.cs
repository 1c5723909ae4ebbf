using System.Globalization;
using System.Text.RegularExpressions;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests;

/// <summary>
/// A grandchild that forks twice, makes a session of its own, clears its environment and ignores SIGTERM dies with its step, and the step beside it lives on
/// (acceptance 6): through the real command line, server, agent and watchdog.
/// </summary>
public sealed partial class ProcessTreeTests(ProcessTreeTests.SharedScene shared) : IClassFixture<ProcessTreeTests.SharedScene>
{
    // The inner shell is started in the background of a subshell that ends at once, so its parent is gone before the job's next line.
    private const string Script = """
        ( env -i setsid /bin/sh -c 'PATH=/usr/bin:/bin; trap "" TERM; while :; do echo $$ >> "$0"; sleep 0.1; done' "$GHOST_FILE" </dev/null >/dev/null 2>&1 & )
        trap '' TERM
        while :; do sleep 1; done
        """;

    [Fact]
    public async Task Cancel_ends_a_hidden_grandchild_and_spares_the_step_beside_it()
    {
        var scene = await shared.StartedAsync();
        var (doomed, spared) = (await GhostAsync(scene, "a"), await GhostAsync(scene, "a"));
        await scene.CliAsync("jobs", "cancel", doomed.Job);
        await EndsAloneAsync(scene, doomed, spared, TaskState.Cancelled);
    }

    [Fact]
    public async Task Timeout_ends_a_hidden_grandchild_and_spares_the_step_beside_it()
    {
        var scene = await shared.StartedAsync();
        var (spared, doomed) = (await GhostAsync(scene, "a"), await GhostAsync(scene, "a", "--timeout", "15"));
        await EndsAloneAsync(scene, doomed, spared, TaskState.Failed);
    }

    /// <summary>A stopped agent ends nothing, and a lease of an hour does not either: the watchdog knows the step's own deadline.</summary>
    [Fact]
    public async Task Timeout_ends_a_hidden_grandchild_of_a_stopped_agent()
    {
        var scene = await shared.StartedAsync();
        var (spared, doomed) = (await GhostAsync(scene, "b"), await GhostAsync(scene, "a", graceSeconds: 3600, "--timeout", "15"));
        scene.Agents[0].Process.Pause();
        try
        {
            await DiesAsync(scene, doomed, spared);
        }
        finally
        {
            scene.Agents[0].Process.Resume();
        }
        await EndsAloneAsync(scene, doomed, spared, TaskState.Failed);
    }

    [Fact]
    public async Task The_agents_death_ends_a_hidden_grandchild_and_spares_the_step_on_another_agent()
    {
        var scene = await shared.StartedAsync();
        var (doomed, spared) = (await GhostAsync(scene, "a"), await GhostAsync(scene, "b"));
        await scene.Agents[0].KillAsync();
        await DiesAsync(scene, doomed, spared);
        // Only now: the next life would kill leftovers too, and this is about the watchdog.
        await scene.Agents[0].StartAgainAsync();
        await EndsAloneAsync(scene, doomed, spared, TaskState.Failed);
    }

    private static async Task EndsAloneAsync(FaultScene scene, Ghost doomed, Ghost spared, TaskState end)
    {
        await Eventually.TrueAsync(async () => (await scene.Workspace.TaskAsync(doomed.Job)).State == end, scene.Evidence, FaultScene.StartLimit, $"{doomed.Job} is {end}");
        await DiesAsync(scene, doomed, spared);
        (await scene.Workspace.TaskAsync(spared.Job)).State.ShouldBe(TaskState.Executing);
        await scene.CliAsync("jobs", "cancel", spared.Job);
        await Eventually.TrueAsync(() => !spared.Lives(), scene.Evidence, FaultScene.StartLimit, "the spared grandchild, cancelled at last, is dead");
    }

    private static async Task DiesAsync(FaultScene scene, Ghost doomed, Ghost spared)
    {
        await Eventually.TrueAsync(() => !doomed.Lives(), scene.Evidence, FaultScene.StartLimit, "the grandchild is dead");
        var beats = spared.Beats;
        await Eventually.TrueAsync(() => spared.Beats > beats + 5, scene.Evidence, FaultScene.StartLimit, "the grandchild of the other step lives on");
        spared.Lives().ShouldBeTrue();
    }

    private Task<Ghost> GhostAsync(FaultScene scene, string workstation, params string[] options) => GhostAsync(scene, workstation, graceSeconds: 30, options);

    private async Task<Ghost> GhostAsync(FaultScene scene, string workstation, int graceSeconds, params string[] options)
    {
        var grace = graceSeconds.ToString(CultureInfo.InvariantCulture);
        var file = shared.NewFile();
        var printed = await scene.CliAsync(["jobs", "run", "--workstation", workstation, "--detach", "--lease-grace", grace, "--env", $"GHOST_FILE={file}", .. options, "--shell", Script]);
        var ghost = new Ghost(JobId().Match(printed).Value, file);
        await Eventually.TrueAsync(() => ghost.Beats > 2, scene.Evidence, FaultScene.StartLimit, $"the grandchild of {ghost.Job} beats");
        // It is what this test is about: a session of its own, and nothing of the agent's or the job's in its environment.
        var environment = await File.ReadAllTextAsync($"/proc/{ghost.Pid}/environ");
        environment.ShouldNotContain("TANJIREN");
        ghost.Stat()[3].ShouldBe(ghost.Pid.ToString(CultureInfo.InvariantCulture), "the grandchild leads its own session");
        return ghost;
    }

    [GeneratedRegex("task_[0-9a-z]+", RegexOptions.None, 1000)]
    private static partial Regex JobId();

    private sealed record Ghost(string Job, string File)
    {
        public int Beats => Lines().Length;

        public int Pid => int.Parse(Lines()[0], CultureInfo.InvariantCulture);

        /// <summary>A zombie, which nobody has reaped yet, runs nothing any more.</summary>
        public bool Lives() => Stat() is [var state, ..] && state is not ("Z" or "X");

        /// <summary>State, parent, group, session … of proc(5); empty when it is gone.</summary>
        public string[] Stat()
        {
            try
            {
                return System.IO.File.ReadAllText($"/proc/{Pid}/stat").Split(") ", 2)[1].Split(' ');
            }
            catch (IOException)
            {
                return [];
            }
        }

        private string[] Lines() => System.IO.File.Exists(File) ? System.IO.File.ReadAllLines(File) : [];
    }

    /// <summary>One server and two agents for all tests of the class; started by the first, so that a missing prerequisite skips and does not fail.</summary>
    public sealed class SharedScene : IAsyncDisposable
    {
        private readonly TemporaryDirectory _files = new();
        private FaultScene? _scene;
        private int _made;

        internal async Task<FaultScene> StartedAsync() => _scene ??= await FaultScene.StartAsync(new SceneOptions { TtlSeconds = 30, GraceSeconds = 30 });

        internal string NewFile() => _files.File(string.Create(CultureInfo.InvariantCulture, $"ghost-{++_made}"));

        public async ValueTask DisposeAsync()
        {
            if (_scene is not null)
                await _scene.DisposeAsync();
            _files.Dispose();
        }
    }
}
