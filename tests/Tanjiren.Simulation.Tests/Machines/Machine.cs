using Tanjiren.Agent.Execution;
using Tanjiren.Server.DeviceTrust;

namespace Tanjiren.Simulation.Tests.Machines;

/// <summary>
/// A workstation's hardware and operating system: a boot clock that drifts and counts its sleep, a disk, the processes of jobs, and the watchdog that kills them. The
/// watchdog dies with the machine only.
/// </summary>
internal sealed class Machine : Host
{
    /// <summary>How often lease clock and watchdog look; the agent's own <c>LeaseTick</c>.</summary>
    private const long TickMs = 1000;

    private readonly List<Job> _jobs = [];
    private Life _power = new();
    private long _bootedAt;

    public Machine(World world, string name, Device device, int capacity) : base(world)
    {
        (Name, Device, Capacity) = (name, device, capacity);
        Disk = new AgentDisk(world);
        // Under 1 %, as the guarantee supposes.
        Rate = 1 + (world.Random.NextDouble() - 0.5) * 0.018;
        Boot();
    }

    public string Name { get; }
    public Device Device { get; }
    public int Capacity { get; }
    public AgentDisk Disk { get; }
    public double Rate { get; }
    public int BootNumber { get; private set; }
    public bool HasPower => !_power.Over;
    public SimulatedAgent? Agent { get; private set; }

    public IReadOnlyList<Job> Jobs => _jobs;

    public long BootNowMs => (long)((World.Now - _bootedAt) * Rate) + 1000;

    public void Boot()
    {
        BootNumber++;
        _power = new Life();
        _bootedAt = World.Now;
        Tick();
    }

    /// <summary>No process survives it, and of what was not synced some is lost.</summary>
    public void CutPower()
    {
        Agent?.Die();
        Agent = null;
        foreach (var job in _jobs) job.Alive = false;
        _jobs.Clear();
        _power.End();
        Disk.CutPower();
    }

    public void StartAgent(Network network)
    {
        Agent = new SimulatedAgent(World, this, network);
        Agent.Start();
    }

    /// <summary>Kill -9: its watchdog sees the end of the pipe and kills what it left.</summary>
    public void KillAgent()
    {
        Agent!.Die();
        Agent = null;
        foreach (var job in _jobs.ToList()) Kill(job, World.Between(1, 250));
    }

    /// <summary>Does something later, if the machine still has power then.</summary>
    public void Later(long delayMs, Action act) => After(_power, delayMs, act);

    public void Spawn(Job job, long durationMs)
    {
        _jobs.Add(job);
        World.Say($"{Name}: {World.Names.Of(job.StepId)} generation {job.Generation} runs");
        Later(durationMs, () => RunOut(job));
    }

    /// <summary>Ends a process by SIGKILL, after a moment.</summary>
    public void Kill(Job job, long delayMs) => Later(delayMs, () => End(job, new ProcessExit(null, "SIGKILL", BootNowMs)));

    public void End(Job job, ProcessExit exit)
    {
        if (!_jobs.Remove(job)) return;
        job.Alive = false;
        World.Say($"{Name}: {World.Names.Of(job.StepId)} generation {job.Generation} ended: {exit.Signal ?? $"exit code {exit.ExitCode}"}");
        if (Agent == job.Owner) job.Owner.Ended(job, exit);
    }

    /// <summary>A process that is stopped does not come to its end.</summary>
    private void RunOut(Job job)
    {
        if (!job.Alive) return;
        if (job.Stopped) Later(200, () => RunOut(job));
        else End(job, new ProcessExit(job.ExitCode, null, BootNowMs));
    }

    private void Tick() => Later(World.Between(TickMs - 50, TickMs), () =>
    {
        // Two processes that look at the same clock: either may be first.
        var agentFirst = World.Chance(0.5);
        if (agentFirst) Agent?.ReadLeaseClock();
        foreach (var job in _jobs.Where(job => job.WatchdogDeadlineBootMs <= BootNowMs && !job.Stopped).ToList()) Strike(job);
        if (!agentFirst) Agent?.ReadLeaseClock();
        Tick();
    });

    /// <summary>The watchdog stops at once what is due, and has killed it a moment later.</summary>
    private void Strike(Job job)
    {
        World.Ledger.Add("agent: killed by the watchdog");
        job.Stopped = true;
        Kill(job, World.Between(1, 150));
    }
}

/// <summary>The processes of one claim of a step.</summary>
internal sealed class Job(SimulatedAgent owner, string stepId, long generation, string claimId)
{
    public SimulatedAgent Owner => owner;
    public string StepId => stepId;
    public long Generation => generation;
    public string ClaimId => claimId;

    /// <summary>What its program returns when nobody stops it.</summary>
    public int ExitCode { get; init; }

    public bool Alive { get; set; } = true;

    /// <summary>SIGSTOP: it exists and executes nothing.</summary>
    public bool Stopped { get; set; }

    /// <summary>As the watchdog was told last.</summary>
    public long WatchdogDeadlineBootMs { get; set; }
}
