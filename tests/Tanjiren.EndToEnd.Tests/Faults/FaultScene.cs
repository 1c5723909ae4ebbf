using System.Globalization;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>How a scene is set. The lease's times are short so that a round takes seconds; what they mean is not changed.</summary>
internal sealed record SceneOptions
{
    public DatabaseKind Database { get; init; } = DatabaseKind.Sqlite;
    public int TtlSeconds { get; init; } = 2;
    public int GraceSeconds { get; init; } = 2;
    /// <summary>Time between two passes of the server's reconciler, in milliseconds.</summary>
    public int ReconcileMs { get; init; } = 250;
    /// <summary>Whether the server's wall clock can be stepped; needs libfaketime.</summary>
    public bool SteppedClock { get; init; }
    /// <summary>Whether <see cref="FaultScene.Synced"/> knows what the agents fsynced; needs a C compiler.</summary>
    public bool KnowsSyncedBytes { get; init; }
    /// <summary>Size of each agent's own disk for its home (journal and outbox), in KiB; null: the machine's. Needs root.</summary>
    public int? HomeKibibytes { get; init; }
    /// <summary>Variables of the agents' own processes.</summary>
    public IReadOnlyDictionary<string, string?> AgentEnvironment { get; init; } = new Dictionary<string, string?>();
    /// <summary>Text of each agent's <c>agent.yaml</c>; null: none.</summary>
    public string? AgentYaml { get; init; }
}

/// <summary>One server, two eligible agents, each behind a proxy of its own, and the file that all jobs beat into.</summary>
internal sealed class FaultScene : IAsyncDisposable
{
    /// <summary>For one of the processes to be up: many start at once, and the machine may be somebody else's too.</summary>
    public static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan SettleLimit = TimeSpan.FromMinutes(3);
    private readonly TemporaryDirectory _directory = new();
    private readonly List<SmallDisk> _disks = [];
    private readonly List<RealAgent> _agents = [];
    private readonly List<string> _open = [];
    private readonly HashSet<string> _onceOnly = [];
    private readonly List<StepBody> _ended = [];
    private readonly SceneOptions _options;
    private TestDatabase? _database;

    private FaultScene(SceneOptions options)
    {
        _options = options;
        Beats = new BeatFile(_directory.File("beats"));
    }

    public RealServer Server { get; private set; } = null!;

    /// <summary>As <c>--database</c> takes it.</summary>
    public string DatabaseUrl => _database!.Url;

    public Workspace Workspace { get; private set; } = null!;

    public IReadOnlyList<RealAgent> Agents => _agents;

    public BeatFile Beats { get; }

    public SteppedClock? Clock { get; private set; }

    public SyncedBytes? Synced { get; private set; }

    /// <summary>The disks of the agents' homes, in the order of <see cref="Agents"/>.</summary>
    public IReadOnlyList<SmallDisk> Disks => _disks;

    /// <summary>The round that runs, from 1.</summary>
    public int Round { get; set; }

    /// <summary>The longest that a vanished holder's step may stay with it.</summary>
    public TimeSpan LeaseEnd => TimeSpan.FromSeconds(_options.TtlSeconds + _options.GraceSeconds);

    public static async Task<FaultScene> StartAsync(SceneOptions options)
    {
        Prerequisite.Linux();
        var scene = new FaultScene(options);
        try
        {
            await scene.StartAsync();
            return scene;
        }
        catch
        {
            await scene.DisposeAsync();
            throw;
        }
    }

    /// <summary>A job that any of the two may run, of so many tenths of a second. It is waited for and checked by <see cref="SettleAsync"/>.</summary>
    public async Task<TaskBody> SubmitAsync(int beats, TargetSpec? targets = null, OnWorkerLost onWorkerLost = OnWorkerLost.Requeue)
    {
        var task = await Workspace.CreateTaskAsync(
            Beats.Job(beats, targets ?? new TargetSpec { Tags = ["fault"], Placement = Placement.Any }, _options.GraceSeconds, onWorkerLost));
        _open.Add(task.Id);
        if (onWorkerLost == OnWorkerLost.Fail)
            _onceOnly.UnionWith(task.Execution!.Steps.Select(step => step.Id));
        return task;
    }

    /// <summary>The agent that works on this task's step now.</summary>
    public async Task<RealAgent> HolderAsync(TaskBody task)
    {
        RealAgent? holder = null;
        await Eventually.TrueAsync(async () =>
        {
            var step = (await Workspace.TaskAsync(task.Id)).Execution!.Steps[0];
            holder = step.State == StepState.Running ? _agents.FirstOrDefault(agent => agent.InstanceId == step.InstanceId) : null;
            return holder is not null && Beats.Read().Any(beat => beat.StepId == step.Id && beat.Generation == step.LeaseGeneration);
        }, Evidence, SettleLimit, $"{task.Id} beats on a machine");
        return holder!;
    }

    /// <summary>A moment in the middle of the work: once the holder has written so many lines.</summary>
    public async Task<RealAgent> HolderAfterAsync(TaskBody task, int lines)
    {
        var holder = await HolderAsync(task);
        var step = (await Workspace.TaskAsync(task.Id)).Execution!.Steps[0].Id;
        await Eventually.TrueAsync(() => Beats.Read().Count(beat => beat.StepId == step) >= lines, Evidence, SettleLimit, $"{task.Id} has written {lines} lines");
        return holder;
    }

    /// <summary>Of the task's one step. Above 1 also without any fault, when a busy machine came too late to start its claim and gave it back.</summary>
    public async Task<long> GenerationAsync(TaskBody task) => (await Workspace.TaskAsync(task.Id)).Execution!.Steps.Single().LeaseGeneration;

    /// <summary>Until the server has given this task's step to somebody else, and that one has begun.</summary>
    public Task HandedOnAsync(TaskBody task, RealAgent from) => Eventually.TrueAsync(async () =>
    {
        var step = (await Workspace.TaskAsync(task.Id)).Execution!.Steps[0];
        // One below when it has ended meanwhile: an end raises the generation, and no process ever runs under the one in between.
        return step.InstanceId is { } now && now != from.InstanceId && Beats.Read().Any(beat => beat.StepId == step.Id && step.LeaseGeneration - beat.Generation is 0 or 1);
    }, Evidence, SettleLimit, $"{task.Id} beats on another machine than {from.Name}");

    /// <summary>Another workstation, eligible from now on. Its processes are ended with the scene.</summary>
    public async Task<RealAgent> PairAnotherAsync(string name, Action<FaultProxy> befall)
    {
        var agent = await RealAgent.PairAsync(Server, Workspace, name, _directory.Path, befall: befall);
        _agents.Add(agent);
        return agent;
    }

    /// <summary>Adds an agent made by <see cref="RealAgent.CopyHomeAsync"/>, so that its writes are checked and its processes are ended.</summary>
    public void Adopt(RealAgent agent) => _agents.Add(agent);

    /// <summary>Makes the network whole, waits until nothing runs any more, and holds the round against the guarantee.</summary>
    public async Task SettleAsync()
    {
        foreach (var agent in _agents)
            agent.Proxy.Heal();
        foreach (var id in _open)
        {
            var step = await EndAsync(id);
            // A job ends with 0 where it is let, and is queued again where it is not, unless it may not: whatever befell its machine, it has succeeded in the end.
            if (!_onceOnly.Contains(step.Id))
                step.State.ShouldBe(StepState.Succeeded, $"{id}: {step.Reason} {step.Detail}");
            await CheckOutputAsync(id, step);
            _ended.Add(step);
        }
        _open.Clear();
        Breaches().ShouldBeEmpty();
        // A step has ended only when its tree is dead, so there is nothing to wait for.
        JobProcesses.Of(Beats.Path).ShouldBeEmpty("processes of jobs that have ended");
    }

    /// <summary>The step of a task once that has ended.</summary>
    public async Task<StepBody> EndAsync(string taskId)
    {
        TaskBody? task = null;
        await Eventually.TrueAsync(async () => (task = await Workspace.TaskAsync(taskId)).State is TaskState.Completed or TaskState.Failed or TaskState.Cancelled,
            Evidence, SettleLimit, $"{taskId} has ended");
        return task!.Execution!.Steps.Single();
    }

    /// <summary>Runs a command of the real command line as the workspace's owner; what it printed.</summary>
    public async Task<string> CliAsync(params string[] arguments)
    {
        var (code, printed) = await TryCliAsync(arguments);
        code.ShouldBe(0, printed);
        return printed;
    }

    /// <summary>The same for a command that may fail; also its exit code.</summary>
    public async Task<(int Code, string Printed)> TryCliAsync(params string[] arguments)
    {
        var environment = new Dictionary<string, string?>
        {
            ["TANVRIT_HOME"] = _directory.File("tanvrit-cli"), ["TANVRIT_SERVER"] = Server.Url.GetLeftPart(UriPartial.Authority), ["TANVRIT_TOKEN"] = Workspace.Token,
        };
        await using var process = RealProcess.Start("command line", arguments, environment);
        await Eventually.TrueAsync(() => process.HasExited, () => process.Log.Tail(), StartLimit, $"{string.Join(' ', arguments)} has ended");
        // It has ended: this only waits for the rest of what it printed.
        var code = await process.TerminateAsync();
        return (code, process.Log.Tail());
    }

    /// <summary>Counters of the server over all its lives in this scene.</summary>
    public Task<IReadOnlyDictionary<string, long>> CountersAsync() => Server.CountersAsync();

    /// <summary>What a person needs who sees only the failure.</summary>
    public string Evidence() => string.Join(Environment.NewLine,
    [
        Server?.Log.Tail() ?? "no server yet",
        .. _agents.SelectMany(agent => (string[])[agent.Log.Tail(), $"--- agent {agent.Name}, last requests ---", .. agent.Proxy.Exchanges.TakeLast(30).Select(exchange => exchange.ToString())]),
        "--- last beats ---", .. Beats.Read().TakeLast(30).Select(beat => beat.ToString()),
    ]);

    public async ValueTask DisposeAsync()
    {
        foreach (var agent in _agents)
            await agent.DisposeAsync();
        if (Server is not null)
            await Server.DisposeAsync();
        Workspace?.Dispose();
        foreach (var disk in _disks)
            disk.Dispose();
        if (_database is not null)
            await _database.DisposeAsync();
        _directory.Dispose();
    }

    /// <summary>The result may overtake the last of the output, so that is waited for.</summary>
    private async Task CheckOutputAsync(string taskId, StepBody step)
    {
        IReadOnlyList<LogChunkBody> chunks = [];
        string? difference = null;
        await Eventually.TrueAsync(async () =>
        {
            chunks = await Workspace.LogsAsync(taskId, step.Id);
            difference = step.State == StepState.Succeeded ? OutputRules.Difference(step, Beats.OutputOf(step.Id, step.LeaseGeneration - 1), OutputRules.Stored(step, chunks)) : null;
            return difference is null;
        }, () => $"{difference}{Environment.NewLine}{Evidence()}", SettleLimit, $"the output of {step.Id} is stored as it was written");
        OutputRules.Holes(chunks).ShouldBeEmpty();
    }

    private IReadOnlyList<string> Breaches()
    {
        var beats = Beats.Read();
        var ledger = WriteLedger.Of(_agents.SelectMany(agent => agent.Proxy.Exchanges));
        var ended = _ended.Select(step => step.Id).ToHashSet();
        var ofEnded = _ended.ToList();
        return
        [
            .. BeatRules.Overlaps(beats), .. BeatRules.SharedGenerations(beats), .. BeatRules.SecondRuns(beats, _onceOnly), .. BeatRules.SuccessesWithoutEnd(beats, ofEnded),
            .. ledger.StaleWritesTaken(), .. ledger.DoubleResults(), .. ledger.ResultsLost(ofEnded),
            .. _ended.Where(step => step.LeaseState is LeaseState.Held or LeaseState.Stale).Select(step => $"{step.Id} has ended and its lease is {step.LeaseState}"),
            .. beats.Select(beat => beat.StepId).Distinct().Where(id => !ended.Contains(id)).Select(id => $"{id} beat although no task of this scene has such a step"),
        ];
    }

    private Dictionary<string, string?> VariablesOf(string agent)
    {
        var variables = new Dictionary<string, string?>(Synced?.Environment ?? new Dictionary<string, string?>());
        foreach (var (name, value) in _options.AgentEnvironment)
            variables[name] = value;
        if (_options.AgentYaml is { } yaml)
        {
            // Where RealAgent has its TANVRIT_HOME.
            var home = Directory.CreateDirectory(Path.Combine(_directory.Path, "tanvrit-" + agent)).FullName;
            File.WriteAllText(Path.Combine(home, "agent.yaml"), yaml);
        }
        return variables;
    }

    private async Task StartAsync()
    {
        _database = await TestDatabase.CreateAsync(_options.Database);
        Clock = _options.SteppedClock ? new SteppedClock(_directory.Path) : null;
        Synced = _options.KnowsSyncedBytes ? new SyncedBytes(_directory.Path) : null;
        var settings = new Dictionary<string, string?>(Clock?.Environment ?? new Dictionary<string, string?>())
        {
            ["Tanjiren__Leases__TtlSeconds"] = _options.TtlSeconds.ToString(CultureInfo.InvariantCulture),
            ["Tanjiren__Leases__ReconcileMs"] = _options.ReconcileMs.ToString(CultureInfo.InvariantCulture),
            // Fifty rounds pair more often from this one address than people do.
            ["Tanjiren__DeviceTrust__PairingsPerAddress"] = "10000",
        };
        Server = await RealServer.StartAsync(_database.Url, settings);
        Workspace = await Workspace.SetUpAsync(Server);
        foreach (var name in new[] { "a", "b" })
        {
            if (_options.HomeKibibytes is { } size)
                _disks.Add(SmallDisk.Mount(Path.Combine(_directory.Path, "agent-" + name), size));
            _agents.Add(await RealAgent.PairAsync(Server, Workspace, name, _directory.Path, environment: VariablesOf(name)));
        }
        foreach (var agent in _agents)
            agent.Start();
        foreach (var agent in _agents)
            await Eventually.TrueAsync(() => Workspace.IsOnlineAsync(agent.InstanceId), Evidence, StartLimit, $"agent {agent.Name} is online");
    }
}
