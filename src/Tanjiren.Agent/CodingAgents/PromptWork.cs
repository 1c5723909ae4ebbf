using System.Text;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.CodingAgents.Questions;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Masking;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>
/// A prompt, or the questions of an investigation: the root process is a coding agent's adapter, spoken to by the Agent Client Protocol, and the end of its turns decides. The session is a pure machine under one lock,
/// which is held while it decides and while its lines are queued, and never while the log is written: that may block, and a cancel comes from loops that must not.
/// </summary>
internal sealed class PromptWork(CodingAgent agent, PromptRequest request, IPermissionAnswers permissions, TimeSpan startLimit, Inquiry? inquiry = null) : IStepWork, IAsyncDisposable
{
    /// <summary>Of the adapter's stderr, in the detail of a step whose adapter died.</summary>
    private const int TailBytes = 1000;

    /// <summary>Of what the adapter said of its end, in the same: the rest of the 2000 characters is for what this machine adds.</summary>
    private const int MaxEndLength = 800;

    private readonly Lock gate = new();
    private readonly AcpLines lines = new();
    private readonly AcpSession session = new(agent.Name, request with { Mode = agent.Settings.Mode });
    private readonly List<byte> tail = [];
    private WorkSeat? seat;
    private Transcript transcript = null!;
    private long startedAt;
    private long? overAt;
    private bool died;
    private bool tailIsCut;
    private StreamMasker? errors;

    public IReadOnlyList<string> Argv => agent.Settings.Command;

    public IReadOnlyDictionary<string, string> Environment => agent.Settings.Environment;

    public bool NeedsInput => true;

    /// <summary>Answers to questions are kept one by one, and the last words are the last of them.</summary>
    public bool Responds => inquiry is null;

    public void Started(WorkSeat seat)
    {
        transcript = new Transcript(seat.Write, seat.Masks);
        errors = seat.Masks.StreamOf();
        startedAt = seat.BootNowMs();
        lock (gate)
        {
            this.seat = seat;
            session.Start();
        }
        Flush();
    }

    public void Take(LogStream stream, ReadOnlySpan<byte> data)
    {
        if (stream == LogStream.Stdout)
        {
            lines.Take(data, TakeLine, () => transcript.Note($"a line of {agent.Name} with more than {AcpLines.MaxLineBytes} bytes was dropped"));
            return;
        }
        // Masked as a stream of its own: the transcript writes its lines in between.
        TellError(errors is null ? data : errors.Write(data));
    }

    public void Tick()
    {
        lock (gate)
        {
            if (!session.HasStarted && seat!.BootNowMs() - startedAt > startLimit.TotalMilliseconds)
                session.Fail($"{agent.Name} had no session open within {startLimit.TotalSeconds:0} s");
        }
        // Also what another thread has brought about: an answer, a cancel.
        Flush();
    }

    public void Ended()
    {
        if (errors is not null) TellError(errors.Finish());
        transcript.Junk(lines.Rest());
        lock (gate)
        {
            if (session.End is null)
            {
                (died, overAt) = (true, seat!.BootNowMs());
                session.Fail(session.HasStarted ? $"{agent.Name} ended in the middle of its turn" : $"{agent.Name} ended before it had a session open");
            }
        }
        Flush();
        transcript.Finish();
    }

    public bool TryAskToStop()
    {
        lock (gate)
        {
            if (seat is null || !session.Cancel()) return false;
            SendLocked();
            return true;
        }
    }

    public WorkEnd Conclude(ProcessExit exit)
    {
        lock (gate)
        {
            var response = Responds ? session.Response : null;
            return new WorkEnd(Words(session.End!, exit), died ? exit.EndedAtBootMs : Math.Min(overAt!.Value, exit.EndedAtBootMs))
            {
                Response = response is { IsEmpty: false } ? response.ToText(seat!.Masks) : null, Usage = session.Usage,
            };
        }
    }

    public ValueTask DisposeAsync() => permissions.DisposeAsync();

    private void TakeLine(ReadOnlySpan<byte> line)
    {
        if (AcpCodec.Read(line) is not { } message)
        {
            transcript.Junk(line);
            return;
        }
        lock (gate) session.Receive(message);
        Flush();
    }

    /// <summary>Does what the session wants done, until it wants nothing more.</summary>
    private void Flush()
    {
        while (true)
        {
            List<SessionEvent> events;
            List<PermissionQuestion> questions;
            bool isOver;
            lock (gate)
            {
                SendLocked();
                events = Drain(session.Events);
                questions = Drain(session.Questions);
                isOver = session.End is not null && overAt is null;
                if (isOver) overAt = seat!.BootNowMs();
            }
            // First, for one that was asked may be settled already: by a cancel from another thread.
            foreach (var question in questions) permissions.Ask(question, answer => Answer(question, answer));
            foreach (var happened in events)
            {
                transcript.Tell(happened);
                if (happened is PermissionSettled permission) permissions.Settled(permission.Question, permission.Told);
                else if (happened is QuestionSettled question) seat!.Deliver(MaskedAnswer.Of(question.Answer, inquiry!.QuestionOf(question.Answer), seat.Masks));
            }
            if (isOver) seat!.Finish();
            if (events.Count == 0 && questions.Count == 0) return;
        }
    }

    /// <summary>From any thread. What there is to tell is told by the step's own, with its next line or tick.</summary>
    private void Answer(PermissionQuestion question, PermissionAnswer answer)
    {
        lock (gate)
        {
            session.Answer(question, answer);
            SendLocked();
        }
    }

    private void SendLocked()
    {
        while (session.Outgoing.TryDequeue(out var line)) seat!.Input!.Write(line);
    }

    private CompleteRequest Words(SessionEnd end, ProcessExit exit) => end.Kind switch
    {
        SessionEndKind.Turn when inquiry is not null => inquiry.Judge(),
        // As a command's: 0 when it did what it was asked, as far as it says so itself.
        SessionEndKind.Turn when end.StopReason == "end_turn" => new CompleteRequest { Outcome = StepOutcome.Succeeded, ExitCode = 0 },
        SessionEndKind.Turn => StepResult.Failed(StepReason.ExitCode, StopWords(end.StopReason!)) with { ExitCode = 1 },
        SessionEndKind.NotStarted => StepResult.Failed(StepReason.SpawnFailed, WithTail(Told(end) + ExitWords(exit))),
        // The adapter itself died: how says more than that it did.
        _ when died => StepResult.Failed(StepReason.ExitCode, WithTail(Told(end) + ExitWords(exit) + Progress)) with { ExitCode = exit.ExitCode is 0 or null ? 1 : exit.ExitCode, Signal = exit.Signal },
        _ => StepResult.Failed(StepReason.ExitCode, Told(end) + Progress) with { ExitCode = 1 },
    };

    private string Told(SessionEnd end)
    {
        var words = seat!.Masks.Text(end.Detail) ?? "";
        return words.Length > MaxEndLength ? TextCut.Keep(words, MaxEndLength) + "…" : words;
    }

    private string StopWords(string reason) => reason switch
    {
        "max_tokens" => $"{agent.Name} stopped at its limit of tokens.",
        "max_turn_requests" => $"{agent.Name} stopped at its limit of requests to the model.",
        "refusal" => $"{agent.Name} refused to go on.",
        "cancelled" => $"{agent.Name} ended its turn as cancelled, which nobody had asked for; some do so when they are denied a tool.",
        _ => $"{agent.Name} stopped: {reason}.",
    };

    private string Progress => inquiry is null ? "" : $" ({inquiry.Progress})";

    /// <summary>Nothing of an adapter that we ended ourselves.</summary>
    private string ExitWords(ProcessExit exit) => !died ? ""
        : exit.Signal is { } signal ? $" (ended by {signal})" : exit.ExitCode is { } code ? $" (exit code {code})" : "";

    private string WithTail(string words)
    {
        var last = Encoding.UTF8.GetString(tail.ToArray());
        last = (tailIsCut ? TextCut.WholeWords(last) : last).Trim();
        return last.Length == 0 ? words + "." : $"{words}. Its last words: {last}";
    }

    private void TellError(ReadOnlySpan<byte> shown)
    {
        if (shown.Length == 0) return;
        Remember(shown);
        seat!.Write(LogStream.Stderr, shown);
    }

    private void Remember(ReadOnlySpan<byte> data)
    {
        tailIsCut |= tail.Count + data.Length > TailBytes;
        if (data.Length > TailBytes) data = data[^TailBytes..];
        tail.AddRange(data);
        if (tail.Count > TailBytes) tail.RemoveRange(0, tail.Count - TailBytes);
    }

    private static List<T> Drain<T>(Queue<T> queue)
    {
        List<T> all = [.. queue];
        queue.Clear();
        return all;
    }
}
