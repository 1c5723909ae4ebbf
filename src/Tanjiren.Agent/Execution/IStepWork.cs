using Tanjiren.Agent.Masking;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// What a step is to its root process: an audience (a command), or a partner in a conversation (a prompt). Tree, marks, kill, watchdog and journal are the same for all.
/// The step's own thread calls everything here, in the order in which it stands, but <see cref="TryAskToStop"/>, which any loop may call at any time.
/// </summary>
internal interface IStepWork
{
    /// <summary>Program and arguments of the root process.</summary>
    IReadOnlyList<string> Argv { get; }

    /// <summary>Set for it on top of a job's own environment.</summary>
    IReadOnlyDictionary<string, string> Environment { get; }

    /// <summary>Whether it speaks to the process.</summary>
    bool NeedsInput { get; }

    /// <summary>Whether its end may have a response, for which there must be room on the disk.</summary>
    bool Responds { get; }

    /// <summary>The process runs.</summary>
    void Started(WorkSeat seat);

    /// <summary>Takes what the process wrote; may block, as <see cref="OutputHandler"/> may.</summary>
    void Take(LogStream stream, ReadOnlySpan<byte> data);

    /// <summary>About every second.</summary>
    void Tick();

    /// <summary>The process has ended and nothing more comes from it; the last moment to write.</summary>
    void Ended();

    /// <summary>
    /// Asks the process in its own words to stop what it does. True: it was asked, and is given time; false: there is nobody to ask, and signals must do. Never blocks.
    /// </summary>
    bool TryAskToStop();

    /// <summary>What its end means, unless the step was stopped for a reason of the agent's own.</summary>
    WorkEnd Conclude(ProcessExit exit);
}

/// <summary>What a work has of its process.</summary>
/// <param name="Input">Null unless <see cref="IStepWork.NeedsInput"/>.</param>
/// <param name="Write">Into the step's log.</param>
/// <param name="Finish">The work is done though the process may go on: its input is closed and its tree is ended. From the step's thread, once.</param>
/// <param name="Deliver">Keeps what became of a question, durably, and sends it; from the step's thread, which it may block as a write may.</param>
/// <param name="BootNowMs">Milliseconds since boot.</param>
/// <param name="Masks">For what leaves the machine in another way than through <paramref name="Write"/>, which masks by itself.</param>
internal sealed record WorkSeat(ProcessInput? Input, OutputHandler Write, Action Finish, Action<StepAnswerRequest> Deliver, Func<long> BootNowMs, StepMasks Masks);

/// <param name="Words">Outcome and reason.</param>
/// <param name="EndedAtBootMs">When the work was over: with the process, or before. A stop that came later changes nothing.</param>
internal sealed record WorkEnd(CompleteRequest Words, long EndedAtBootMs)
{
    /// <summary>What the step's result carries besides, however it ended.</summary>
    public string? Response { get; init; }
    public TokenUsage? Usage { get; init; }
}
