using Tanjiren.Agent.Connection;

namespace Tanjiren.Simulation.Tests.Machines;

/// <summary>
/// Between the agents and the server: each request and each answer is delayed on its own, so they overtake each other; either may be lost, and a request may arrive twice.
/// Some get stuck for longer than any lease lasts and arrive all the same.
/// </summary>
internal sealed class Network(World world, SimulatedServer server)
{
    private readonly HashSet<Machine> _cutOff = [];
    private readonly Dictionary<SimulatedAgent, long> _arrived = [];
    private long _sent;

    /// <summary>How bad it is; 0 is a good day.</summary>
    public double Badness { get; set; }

    public void Cut(Machine machine) => _cutOff.Add(machine);

    public void Mend(Machine machine) => _cutOff.Remove(machine);

    /// <param name="agent">Who asks; nobody listens any more when that run of it has ended.</param>
    /// <param name="what">For the trace.</param>
    /// <param name="timeout">When it gives up: the answer is then <see cref="ReplyKind.Unavailable"/>, and a late one is not heard.</param>
    /// <param name="request">What the server does; perhaps twice.</param>
    /// <param name="answer">What the agent does with the answer, once.</param>
    public void Call<T>(SimulatedAgent agent, string what, TimeSpan timeout, Func<ServerRequests, Task<Reply<T>>> request, Action<Reply<T>> answer) where T : class
    {
        var settled = false;
        agent.After((long)timeout.TotalMilliseconds, () => Settle(new Reply<T>(ReplyKind.Unavailable, null, null, null)));
        Send();
        if (world.Chance(0.05 * Badness))
        {
            world.Ledger.Add("network: repeated");
            Send();
        }

        void Send()
        {
            if (IsLost(agent.Machine)) return;
            var number = ++_sent;
            world.After(Delay(), () =>
            {
                if (_cutOff.Contains(agent.Machine)) return;
                NoteOrder(agent, number);
                server.Take(what, request, reply =>
                {
                    if (!IsLost(agent.Machine)) agent.After(Delay(), () => Settle(reply));
                });
            });
        }

        void Settle(Reply<T> reply)
        {
            if (settled) return;
            world.Happened();
            settled = true;
            answer(reply);
        }
    }

    /// <summary>Of one agent's requests, which a later one has overtaken.</summary>
    private void NoteOrder(SimulatedAgent agent, long number)
    {
        if (_arrived.GetValueOrDefault(agent) > number) world.Ledger.Add("network: overtaken");
        else _arrived[agent] = number;
    }

    /// <summary>A hint on the hanging poll's connection.</summary>
    public void Push(Machine machine, Action arrived)
    {
        if (!IsLost(machine)) world.After(Delay(), arrived);
    }

    private bool IsLost(Machine machine)
    {
        if (!_cutOff.Contains(machine) && !world.Chance(0.06 * Badness)) return false;
        world.Ledger.Add("network: lost");
        return true;
    }

    private long Delay()
    {
        var luck = world.Random.NextDouble();
        if (luck < 0.02 * Badness)
        {
            world.Ledger.Add("network: stuck");
            return world.Between(10_000, 45_000);
        }
        if (luck < 0.10 * Badness)
        {
            world.Ledger.Add("network: slow");
            return world.Between(200, 8000);
        }
        return world.Between(1, 30);
    }
}
