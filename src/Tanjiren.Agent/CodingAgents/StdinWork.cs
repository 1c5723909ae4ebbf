using System.Text;
using Tanjiren.Agent.Execution;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>A coding agent of the simplest kind: the prompt on its standard input, the answer on its standard output, and its exit decides as a command's does.</summary>
internal sealed class StdinWork(CodingAgent agent, string prompt) : IStepWork
{
    private readonly ResponseText response = new();
    private readonly Decoder decoder = Encoding.UTF8.GetDecoder();
    private WorkSeat seat = null!;

    public IReadOnlyList<string> Argv => agent.Settings.Command;

    public IReadOnlyDictionary<string, string> Environment => agent.Settings.Environment;

    public bool NeedsInput => true;

    public bool Responds => true;

    public void Started(WorkSeat seat)
    {
        this.seat = seat;
        seat.Input!.Write(Encoding.UTF8.GetBytes(prompt));
        seat.Input.Close();
    }

    public void Take(LogStream stream, ReadOnlySpan<byte> data)
    {
        seat.Write(stream, data);
        if (stream != LogStream.Stdout) return;
        var characters = new char[decoder.GetCharCount(data, flush: false)];
        decoder.GetChars(data, characters, flush: false);
        response.Append(characters);
    }

    public void Tick()
    {
        // It has no time of its own.
    }

    public void Ended()
    {
        // Everything was written as it came.
    }

    public bool TryAskToStop() => false;

    public WorkEnd Conclude(ProcessExit exit) => new(StepResult.Of(StopReason.None, exit), exit.EndedAtBootMs) { Response = response.IsEmpty ? null : response.ToString() };
}
