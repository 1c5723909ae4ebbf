using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>A command: what it prints is the log, and its exit decides.</summary>
internal sealed class CommandWork(IReadOnlyList<string> argv) : IStepWork
{
    private static readonly IReadOnlyDictionary<string, string> Nothing = new Dictionary<string, string>();

    private WorkSeat seat = null!;

    public IReadOnlyList<string> Argv => argv;

    public IReadOnlyDictionary<string, string> Environment => Nothing;

    public bool NeedsInput => false;

    public bool Responds => false;

    public void Started(WorkSeat seat) => this.seat = seat;

    public void Take(LogStream stream, ReadOnlySpan<byte> data) => seat.Write(stream, data);

    public void Tick()
    {
        // It has no time of its own.
    }

    public void Ended()
    {
        // Everything was written as it came.
    }

    public bool TryAskToStop() => false;

    public WorkEnd Conclude(ProcessExit exit) => new(StepResult.Of(StopReason.None, exit), exit.EndedAtBootMs);
}
