using Tanjiren.Server.DeviceTrust;

namespace Tanjiren.Simulation.Tests;

/// <summary>What came of a seed. <see cref="Failure"/>: the promise that was broken, or null.</summary>
internal sealed record SeedOutcome(int Seed, string? Failure, int Events, int Faults, int Tasks, int Agents, IReadOnlyList<string> Trace, Ledger Ledger);

/// <summary>
/// One history: some minutes in which people want things and machines fail, then everything is mended and answered, and every task must end. 3 or 4 agents, 10 to 13
/// tasks and what schedules and retries add.
/// </summary>
internal static class SeedRun
{
    private const long StormMs = 120_000;
    private const long LongestCalmMs = 1_800_000;

    public static SeedOutcome Run(int seed, Template template, bool keepsTrace = false)
    {
        var world = new World(seed, keepsTrace);
        using var file = template.Copy();
        using var eye = new Eye(file.Path);
        using var server = new SimulatedServer(world, file.Path);
        var network = new Network(world, server) { Badness = world.Random.NextDouble() * 1.2 };
        List<Machine> machines = [.. template.Devices.Take(3 + world.Random.Next(2)).Select((device, i) => Make(world, device, i))];
        var promises = new Promises(world, server, eye, machines);
        world.ResultAccepted = promises.ResultAccepted;
        world.ResultKnown = promises.ResultKnown;
        world.Acted = promises.CheckWorkers;
        server.Committed = promises.Check;
        server.Hint = key =>
        {
            if (machines.FirstOrDefault(machine => key == "work:" + machine.Device.InstanceId) is { } hinted) network.Push(hinted, () => hinted.Agent?.Hinted());
        };
        server.Start();
        var people = new People(world, server, machines, promises, template.Members);
        var faults = new Faults(world, server, machines, network);
        foreach (var machine in machines) world.After(world.Between(0, 5000), () => faults.Revive(machine));
        promises.Reclaimed = (step, before) => world.After(world.Between(50, 2000), () => faults.Confuse(step, before));
        promises.WentStale = faults.BeatLate;
        promises.Requeued = faults.ClaimLate;
        people.Plan(StormMs);
        faults.Plan(StormMs);
        // A fault that has nobody to befall is tried again later: the storm lasts until the seed has had its share.
        while ((world.Now < StormMs + faults.NightMs || faults.Provoked < Faults.Least) && world.Step()) { }
        world.Say("everything is mended");
        faults.Mend();
        people.GoHome();
        var calmSince = world.Now;
        for (var steps = 1; world.Now - calmSince < LongestCalmMs && world.Step(); steps++)
        {
            if (steps % 50 == 0 && world.Now - calmSince > 20_000 && promises.Unended().Count == 0) break;
        }
        promises.Check();
        if (world.Failure is null && promises.Unended() is { Count: > 0 } unended) world.Fail($"half an hour after everything was mended these have not ended: {string.Join("; ", unended)}");
        var outcome = (world.Events, faults.Provoked, promises.Tasks.Count);
        if (world.Failure is null && (outcome.Events < 300 || outcome.Provoked < Faults.Least || people.Created < 10)) world.Fail($"too little happened: {outcome.Events} events, {outcome.Provoked} faults, {people.Created} tasks");
        server.Count();
        return new SeedOutcome(seed, world.Failure, outcome.Events, outcome.Provoked, outcome.Count, machines.Count, world.Trace.Lines, world.Ledger);
    }

    private static Machine Make(World world, Device device, int number)
    {
        var name = ((char)('A' + number)).ToString();
        world.Names.Give(device.InstanceId, name);
        return new Machine(world, name, device, capacity: 1 + world.Random.Next(3));
    }
}
