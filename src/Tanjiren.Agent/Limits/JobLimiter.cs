using System.Collections.Concurrent;
using System.ComponentModel;
using Tanjiren.Agent.Limits.Linux;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Limits;

/// <summary>
/// The limits loop: gives each job its share of the machine, and while a capped one runs looks four times a second whether it keeps to it. One look is one reading of /proc for all of them.
/// Without a capped job it sleeps.
/// </summary>
internal sealed partial class JobLimiter(AgentOptions options, IReadOnlyList<string> devices, bool hidesCards, CgroupSubtree? cgroups, TimeProvider clock, ILogger log)
{
    private const int KeptWaiting = 1000;

    private readonly GpuPool cards = new(devices);
    /// <summary>Steps that went back for want of cards, with the number that each needs. An offer does not say it.</summary>
    private readonly ConcurrentDictionary<string, int> waiting = new();
    private readonly ProcessorShares processors = new(OperatingSystem.IsLinux() ? Affinity.Of(0) : []);
    private readonly ConcurrentDictionary<StepShare, StepGuard> guards = new();
    private readonly Pulse begun = new();
    private readonly ILogger log = log;

    /// <summary>Of this machine, with a line in the log about how its caps are held.</summary>
    public static JobLimiter OfThisMachine(AgentOptions options, GpuInventory gpus, TimeProvider clock, ILogger log)
    {
        var devices = MachineLabels.Devices(options, gpus);
        var why = "";
        var cgroups = OperatingSystem.IsLinux() ? CgroupSubtree.TryOpen(out why, Environment.ProcessId) : null;
        if (cgroups is not null) LogByKernel(log);
        else if (OperatingSystem.IsLinux()) LogByAccounting(log, why);
        return new JobLimiter(options, devices, gpus.HasCards, cgroups, clock, log);
    }

    /// <summary>False: this step went back for want of cards, and so many are not free yet. A claim would go back again, and fill the server's record of it for as long as others compute.</summary>
    public bool MayTake(string stepId) => !waiting.TryGetValue(stepId, out var count) || cards.Free >= count;

    /// <summary>A claim's share. Every one that is admitted is released, whatever became of it.</summary>
    public StepShare Admit(string stepId, ResourceSpec? resources)
    {
        var caps = JobCaps.Of(options.Settings.Limits, resources);
        if (JobCaps.Refusal(options.Settings.Limits, resources, cards.Size) is { } refusal) return new StepShare { Caps = caps, Refusal = refusal };
        if (cards.TryTake(resources?.GpuCount ?? 0) is not { } taken)
        {
            LogNoCards(stepId, resources!.GpuCount!.Value);
            // Forgetting them all costs each one a claim; remembering those that other machines took would cost memory.
            if (waiting.Count >= KeptWaiting) waiting.Clear();
            waiting[stepId] = resources.GpuCount.Value;
            return new StepShare { Caps = caps, Devices = null };
        }
        waiting.TryRemove(stepId, out _);
        var group = Group(stepId, caps);
        return new StepShare
        {
            Caps = caps,
            Devices = taken,
            NamesDevices = hidesCards || cards.Size > 0,
            Group = group,
            Processors = group is null ? processors.Take(caps.Cpu) : null,
        };
    }

    /// <summary>Its process runs.</summary>
    /// <param name="share">From <see cref="Admit"/>.</param>
    /// <param name="tree">Where its processes are found.</param>
    /// <param name="exceeded">It is over its memory cap: the words for its record. Called at every look until it is released.</param>
    public void Watch(StepShare share, GuardedTree tree, Action<string> exceeded)
    {
        if (OperatingSystem.IsWindows()) share.Job = Job(share.Caps);
        if (share is { Group: null, Processors: null, Job: null, Caps.MemoryMb: null }) return;
        var guard = new StepGuard(share, tree, exceeded);
        guard.Begin();
        guards[share] = guard;
        begun.Set();
    }

    /// <param name="share">From <see cref="Admit"/>.</param>
    /// <param name="isGone">False: processes of it live on, which may still use its cards; those are given to nobody until the agent starts again.</param>
    public void Release(StepShare share, bool isGone)
    {
        guards.TryRemove(share, out _);
        processors.Return(share.Processors);
        if (isGone) cards.Return(share.Devices ?? []);
        else if (share.Devices is { Count: > 0 } kept) LogCardsKept(string.Join(',', kept));
        share.Job?.Dispose();
        // A group whose last processes are still on their way out stays until the next start, empty.
        share.Group?.TryRemove();
    }

    public async Task RunAsync(CancellationToken ct)
    {
        while (true)
        {
            if (guards.IsEmpty) await begun.WaitAsync(Timeout.InfiniteTimeSpan, clock, ct);
            else await Task.Delay(options.Timeouts.LimitLook, clock, ct);
            RunOnce();
        }
    }

    public void RunOnce()
    {
        var survey = OperatingSystem.IsLinux() && !guards.IsEmpty ? TreeSurvey.Take() : null;
        foreach (var guard in guards.Values) guard.Look(survey);
    }

    private StepCgroup? Group(string stepId, JobCaps caps)
    {
        if (cgroups is null || caps is { Cpu: null, MemoryMb: null }) return null;
        try
        {
            return cgroups.Create(stepId, caps);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogNoGroup(stepId, e.Message);
            return null;
        }
    }

    private WindowsJob? Job(JobCaps caps)
    {
        if (caps is { Cpu: null, MemoryMb: null }) return null;
        try
        {
            return new WindowsJob(caps);
        }
        catch (Win32Exception e)
        {
            LogNoJob(e.Message);
            return null;
        }
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Caps of jobs are held by the kernel (cgroup v2)")]
    private static partial void LogByKernel(ILogger log);

    [LoggerMessage(Level = LogLevel.Information, Message = "Caps of jobs are held by accounting, because {Reason}")]
    private static partial void LogByAccounting(ILogger log, string reason);

    [LoggerMessage(Level = LogLevel.Information, Message = "{StepId} asks for {Count} graphics cards, which are not free now; it goes back")]
    private partial void LogNoCards(string stepId, int count);

    [LoggerMessage(Level = LogLevel.Error, Message = "The cards {Cards} are given to nobody until the agent starts again: processes of their last job can't be ended")]
    private partial void LogCardsKept(string cards);

    [LoggerMessage(Level = LogLevel.Warning, Message = "No cgroup for {StepId}, so its caps are held by accounting: {Reason}")]
    private partial void LogNoGroup(string stepId, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "No Job Object, so only what the process tree shows is counted: {Reason}")]
    private partial void LogNoJob(string reason);
}
