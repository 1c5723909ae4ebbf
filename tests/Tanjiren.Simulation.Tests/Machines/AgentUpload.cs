using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Simulation.Tests.Machines;

/// <summary>The last word of a claim on its way: a result, a release, or nothing. It is said until the server has answered, over sessions and restarts.</summary>
internal sealed class AgentUpload(World world, SimulatedAgent agent, string claimId, string stepId, long generation)
{
    private CompleteRequest? _result;
    private bool _answered;
    private int _tries;
    private long _generation = generation;

    public string ClaimId => claimId;

    public bool HasWord { get; private set; }

    /// <summary>Whose word it is; none after a restart.</summary>
    public AgentRun? Run { get; set; }

    public HeldLease? Held() => _result is null || _answered ? null : new HeldLease { StepId = stepId, LeaseGeneration = _generation, Phase = StepPhase.Uploading };

    public void Complete(CompleteRequest durableResult)
    {
        if (Decided()) return;
        _result = durableResult;
        Speak();
    }

    public void Release(long of)
    {
        if (Decided()) return;
        _generation = of;
        Speak();
    }

    public void SayNothing()
    {
        if (!Decided()) Close();
    }

    private bool Decided()
    {
        if (HasWord) return true;
        HasWord = true;
        return false;
    }

    private void Speak()
    {
        if (agent.Session is not { } session)
        {
            agent.After(100, Speak);
            return;
        }
        var word = _result is null ? "releases" : "completes";
        agent.Call(word, SimulatedAgent.Timeouts.Request, async server =>
        {
            var (reply, result) = _result is { } final
                ? await server.CompleteAsync(agent.As(session), stepId, final)
                : await server.ReleaseAsync(agent.As(session), stepId, new ReleaseRequest { LeaseGeneration = _generation, Reason = "never started" });
            world.Ledger.Add($"{word[..^1]}: {result}");
            world.Say($"server: {agent.Machine.Name} {word} {world.Names.Of(stepId)} generation {_generation}: {result}");
            if (_result is not null && reply.Value is { } said && StepRules.IsTerminal(said.State))
                (result == "applied" ? world.ResultAccepted : world.ResultKnown)(stepId, _generation, _result.ResultDigest!);
            return reply;
        }, reply => Heard(session, reply.Kind));
    }

    private void Heard(string session, ReplyKind kind)
    {
        if (_answered) return;
        if (agent.Concerns(session, kind) || kind == ReplyKind.Unavailable)
        {
            agent.After(agent.Backoff(_tries++), Speak);
            return;
        }
        agent.Write(new JournalEntry { Kind = JournalKind.Answered, ClaimId = claimId });
        if (kind == ReplyKind.LeaseLost) Run?.Stop(StopReason.LeaseLost);
        Close();
    }

    private void Close()
    {
        _answered = true;
        agent.Write(new JournalEntry { Kind = JournalKind.Closed, ClaimId = claimId });
        agent.Remove(this);
        Run?.Answered();
    }
}
