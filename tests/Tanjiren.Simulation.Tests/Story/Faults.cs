using Tanjiren.Protocol;

namespace Tanjiren.Simulation.Tests.Story;

/// <summary>What goes wrong, and when it is mended.</summary>
internal sealed class Faults(World world, SimulatedServer server, IReadOnlyList<Machine> machines, Network network)
{
    /// <summary>How often each is chosen, against the others. The night is dear: what it is for happens in every few seeds.</summary>
    private static readonly (string Kind, int Weight)[] Weights =
    [
        ("agent killed", 12), ("power cut", 8), ("machine asleep", 12), ("server crashed", 12), ("server asleep", 6), ("clock stepped", 6), ("partition", 12),
        ("bad network", 10), ("night", 4),
    ];

    private static readonly string[] Deck = [.. Weights.SelectMany(w => Enumerable.Repeat(w.Kind, w.Weight))];

    public static IEnumerable<string> All => Weights.Select(w => w.Kind).Concat(["impostor", "echo", "late beat", "late claim"]);

    /// <summary>A seed has at least so many that befell somebody.</summary>
    public const int Least = 3;

    private bool _over;

    public int Provoked { get; private set; }

    /// <summary>The length of the nights so far: nothing that is planned for the daytime falls into them.</summary>
    public long NightMs { get; private set; }

    /// <summary>Spreads this seed's faults over its first minutes.</summary>
    public void Plan(long untilMs)
    {
        for (var i = world.Between(Least, 9); i > 0; i--)
        {
            world.After(world.Between(2000, untilMs), () => Provoke(firstPauseMs: 2000));
        }
    }

    /// <summary>Everything that is broken is mended, and nothing breaks any more.</summary>
    public void Mend()
    {
        _over = true;
        network.Badness = 0;
        foreach (var machine in machines)
        {
            network.Mend(machine);
            if (machine.Asleep) machine.Wake();
            Revive(machine);
        }
        if (server.Asleep) server.Wake();
        if (!server.Up) server.Start();
    }

    /// <summary>Another one, later, when this one has nobody to befall now.</summary>
    private void Provoke(long firstPauseMs)
    {
        if (_over) return;
        var kind = world.Pick(Deck);
        if (Happens(kind, world.Pick(machines)))
        {
            Provoked++;
            world.Ledger.Add("fault: " + kind);
        }
        else
        {
            world.After(firstPauseMs, () => Provoke(2 * firstPauseMs));
        }
    }

    /// <summary>False when there is nothing that this could befall now.</summary>
    private bool Happens(string kind, Machine machine)
    {
        switch (kind)
        {
            case "agent killed" when machine is { HasPower: true, Agent: not null }:
                world.Say($"{machine.Name}: its agent is killed");
                machine.KillAgent();
                world.After(world.Between(100, 15_000), () => Revive(machine));
                return true;
            case "power cut" when machine is { HasPower: true, Asleep: false }:
                world.Say($"{machine.Name}: the power is cut");
                machine.CutPower();
                world.After(world.Between(3000, 40_000), () => Revive(machine));
                return true;
            case "machine asleep" when machine is { HasPower: true, Asleep: false }:
                world.Say($"{machine.Name}: falls asleep");
                machine.Sleep();
                world.After(world.Chance(0.5) ? world.Between(2000, 12_000) : world.Between(15_000, 60_000), () => Wake(machine));
                return true;
            case "server crashed" when server is { Up: true, Asleep: false }:
                world.Say("server: crashes");
                server.Crash();
                // Its machine's clock may be set while it is down.
                if (world.Chance(0.3)) Step();
                world.After(world.Between(100, 30_000), Restart);
                return true;
            case "server asleep" when server is { Up: true, Asleep: false }:
                world.Say("server: falls asleep");
                server.Sleep();
                world.After(world.Between(2000, 45_000), WakeServer);
                return true;
            case "clock stepped":
                Step();
                return true;
            case "partition":
                world.Say($"{machine.Name}: is cut off");
                network.Cut(machine);
                world.After(world.Between(3000, 50_000), () => network.Mend(machine));
                return true;
            case "bad network":
                world.Say("the network gets bad");
                network.Badness += 2;
                world.After(world.Between(10_000, 60_000), () => network.Badness = Math.Max(0, network.Badness - 2));
                return true;
            case "night" when server is { Up: true, Asleep: false } && machines.All(each => each is { HasPower: true, Asleep: false }):
                return Night();
            default:
                return false;
        }
    }

    private void Step()
    {
        var by = world.Pick((long[])[-3_600_000, -90_000, -2000, 2000, 45_000, 120_000, 3_600_000]);
        world.Say($"server: the wall clock is stepped by {by} ms");
        server.Clock.StepWall(by);
    }

    /// <summary>Everybody closes their lid: for longer than an approval lasts, sometimes longer than anybody may take to answer.</summary>
    private bool Night()
    {
        var length = world.Chance(0.3) ? 9 * 86_400_000L : world.Between(960_000, 3_000_000);
        world.Say($"everybody sleeps for {length / 60_000} minutes");
        NightMs += length;
        foreach (var machine in machines) machine.Sleep();
        server.Sleep();
        world.After(length, () =>
        {
            WakeServer();
            foreach (var machine in machines) Wake(machine);
        });
        return true;
    }

    /// <summary>A step is held that was held before: whoever spoke then is heard again.</summary>
    public void Confuse(StepSeen step, StepSeen before)
    {
        if (before.Holder == step.Holder) Echo(step, before.Generation);
        else Impersonate(step, machines.First(machine => machine.Device.InstanceId == before.Holder));
    }

    /// <summary>A beat of the holder's that was sent in time arrives when the lease is about to be given up, or a moment after it was.</summary>
    public void BeatLate(StepSeen step)
    {
        if (_over || world.Chance(0.5)) return;
        var machine = machines.First(each => each.Device.InstanceId == step.Holder);
        var device = machine.Device with { SessionId = step.Session! };
        var request = new HeartbeatRequest
        {
            MaxConcurrent = machine.Capacity, Leases = [new HeldLease { StepId = step.Id, LeaseGeneration = step.Generation, Phase = StepPhase.Running }],
        };
        world.After(step.ExpiresAt + step.GraceMs - server.LeaseNow() + world.Between(-200, 3000), () =>
        {
            if (_over || !server.Up) return;
            world.Ledger.Add("fault: late beat");
            server.Take("a late beat", requests => requests.BeatAsync(device, request), _ => { });
        });
    }

    /// <summary>A claim that was sent for the offer before, under an id that the server has not seen, arrives when the step is offered again.</summary>
    public void ClaimLate(StepSeen offered, StepSeen held)
    {
        var machine = machines.First(each => each.Device.InstanceId == held.Holder);
        world.After(world.Between(0, 200), () =>
        {
            if (_over || !server.Up || machine.Agent?.Session is not { } session) return;
            world.Ledger.Add("fault: late claim");
            var request = new ClaimRequest { ClaimId = Ids.New(Ids.Claim, DateTimeOffset.FromUnixTimeMilliseconds(world.Instant(0))), ExpectedGeneration = held.Generation - 1 };
            server.Take("a late claim", async requests => (await requests.ClaimAsync(machine.Device with { SessionId = session }, offered.Id, request)).Reply, reply =>
            {
                if (reply.IsOk) world.Fail($"{machine.Name} was granted {world.Names.Of(offered.Id)} as generation {reply.Value!.LeaseGeneration}, which it had been offered as generation {request.ExpectedGeneration}");
            });
        });
    }

    /// <summary>A result of the holder's own, but of an earlier lease, comes as late as the network likes.</summary>
    private void Echo(StepSeen step, long generation)
    {
        if (_over || !server.Up) return;
        world.Ledger.Add("fault: echo");
        var device = machines.First(machine => machine.Device.InstanceId == step.Holder).Device with { SessionId = step.Session! };
        world.Say($"{world.Names.Of(step.Holder)}: a result of {world.Names.Of(step.Id)} generation {generation} is still on its way");
        var words = Tanjiren.Agent.Execution.StepResult.Seal(new CompleteRequest { Outcome = StepOutcome.Succeeded, ExitCode = 0 }, step.Id, generation, 1, 0, output: null);
        server.Take("an echo", async requests => (await requests.CompleteAsync(device, step.Id, words)).Reply, reply =>
        {
            if (reply.IsOk) world.Fail($"a result of {world.Names.Of(step.Id)} under generation {generation} was taken, which had ended before generation {step.Generation} began");
        });
    }

    /// <summary>
    /// A workstation that once claimed a step speaks for it under the present generation, which it cannot have got from the server: a restored disk, or a mind that is not
    /// its own. Nobody but the holder's session is believed.
    /// </summary>
    private void Impersonate(StepSeen step, Machine impostor)
    {
        if (_over || !server.Up || impostor.Agent?.Session is null) return;
        world.Ledger.Add("fault: impostor");
        var device = impostor.Device with { SessionId = impostor.Agent!.Session! };
        world.Say($"{impostor.Name}: speaks for {world.Names.Of(step.Id)} generation {step.Generation}, which {world.Names.Of(step.Holder)} holds");
        var words = Tanjiren.Agent.Execution.StepResult.Seal(new CompleteRequest { Outcome = StepOutcome.Succeeded, ExitCode = 0 }, step.Id, step.Generation, 1, 0, output: null);
        server.Take("an impostor's beat", requests => requests.BeatAsync(device, new HeartbeatRequest
        {
            MaxConcurrent = impostor.Capacity, Leases = [new HeldLease { StepId = step.Id, LeaseGeneration = step.Generation, Phase = StepPhase.Running }],
        }), reply =>
        {
            if (reply.Value?.Leases.Any(lease => lease.StepId == step.Id && lease.LeaseGeneration == step.Generation && lease.Standing == LeaseStanding.Held) == true)
                world.Fail($"{impostor.Name} renewed a lease of {world.Names.Of(step.Id)} that another workstation holds");
        });
        server.Take("an impostor's result", async requests => (await requests.CompleteAsync(device, step.Id, words)).Reply, reply =>
        {
            if (reply.IsOk) world.Fail($"{impostor.Name}'s word for {world.Names.Of(step.Id)} was taken, which another workstation held");
        });
    }

    private void Restart()
    {
        if (server.Up) return;
        world.Say("server: starts again");
        server.Start();
    }

    private void WakeServer()
    {
        if (!server.Asleep) return;
        world.Say("server: wakes");
        server.Wake();
    }

    private void Wake(Machine machine)
    {
        if (!machine.Asleep) return;
        world.Say($"{machine.Name}: wakes");
        machine.Wake();
    }

    /// <summary>Switches the machine on and starts its agent, if that has not been done already.</summary>
    public void Revive(Machine machine)
    {
        if (machine is { HasPower: true, Agent: not null }) return;
        if (!machine.HasPower) machine.Boot();
        machine.StartAgent(network);
    }
}
