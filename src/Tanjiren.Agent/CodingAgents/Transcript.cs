using System.Text;
using Tanjiren.Agent.CodingAgents.Acp;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Masking;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.CodingAgents;

/// <summary>
/// A session as its step's log: what the agent says on stdout, word by word; what it does in short lines on stderr; and everything once more on the system stream, as events for
/// programs (<see cref="EventLine"/>). A message and a thought become one event when they are whole. On the step's thread.
/// </summary>
internal sealed class Transcript(OutputHandler write, StepMasks masks)
{
    private const int MaxToolLines = 8;

    private readonly EventLine events = new(masks);
    private readonly EventText message = new("message", masks);
    private readonly EventText thought = new("thought", masks);
    /// <summary>By tool call: its lines so far.</summary>
    private readonly Dictionary<string, List<string>> told = [];
    private bool lineIsOpen;

    public void Tell(SessionEvent happened)
    {
        // What comes in the middle of words ends them here, unless they end like the beginning of a value: its second half may follow, and only together they are found.
        var isNew = happened is MessageChunk { IsNew: true };
        if (isNew || (happened is not MessageChunk && !message.IsOpen)) EndMessage();
        if (isNew || (happened is not ThoughtChunk && !thought.IsOpen)) EndThought();
        switch (happened)
        {
            case MessageChunk chunk:
                message.Append(chunk.Text);
                lineIsOpen = !chunk.Text.EndsWith('\n');
                write(LogStream.Stdout, Encoding.UTF8.GetBytes(chunk.Text));
                return;
            case ThoughtChunk chunk:
                thought.Append(chunk.Text);
                return;
            case ToolChanged changed:
                TellTool(changed.Tool);
                break;
            case PlanChanged plan:
                var now = plan.Entries.FirstOrDefault(e => e.Status == "in_progress")?.Content;
                Line($"plan: {plan.Entries.Count(e => e.Status == "completed")} of {plan.Entries.Count} done{(now is null ? "" : ", now: " + now)}");
                break;
            case PermissionAsked asked:
                Line($"asks for permission: {asked.Question.Tool.Words}");
                break;
            case PermissionSettled settled:
                Line($"permission for {settled.Question.Tool.Words}: {NameOf(settled.Told)}{(settled.Option is { } option ? $" ({option.Kind})" : "")}{(settled.Because is { } because ? ", " + because : "")}");
                break;
            case ModeChanged changed:
                Line($"mode: {changed.Mode}");
                break;
            case QuestionAsked asked:
                Line($"question {asked.Number} of {asked.Of}, {asked.Question.Name}{(asked.Fault is { } fault ? $", again: {fault}" : $": {asked.Question.Text}")}");
                break;
            case QuestionSettled { Answer: var answer }:
                Line(answer.Answer is null ? $"no answer to {answer.Question}: {answer.Problem}" : $"answered: {answer.Question}, evidence: {answer.Evidence?.Count ?? 0}");
                break;
        }
        write(LogStream.System, events.Of(happened));
    }

    /// <summary>Writes what is held back for its end.</summary>
    public void Finish()
    {
        EndMessage();
        EndThought();
    }

    /// <summary>Something on stdout that is no message of the protocol: whatever it is, people may need it.</summary>
    public void Junk(ReadOnlySpan<byte> line)
    {
        if (line.Length == 0) return;
        write(LogStream.Stderr, line);
        write(LogStream.Stderr, "\n"u8);
    }

    /// <summary>A line of the agent that runs the step.</summary>
    public void Note(string words) => write(LogStream.System, Encoding.UTF8.GetBytes($"[tanjiren] {OneLine(masks.Text(words))}\n"));

    /// <summary>A line for each thing that it is called, of which the first may say little ("Preparing file…"), and one for its failure.</summary>
    private void TellTool(ToolCall tool)
    {
        if (!told.TryGetValue(tool.Id, out var lines))
        {
            if (told.Count >= 1000) told.Clear();
            told[tool.Id] = lines = [];
        }
        var words = OneLine(masks.Text($"{tool.Kind ?? "tool"}: {tool.Words}"));
        Once(words);
        if (tool.Status == "failed") Once(words + " failed");

        void Once(string line)
        {
            if (lines.Count >= MaxToolLines || lines.Contains(line)) return;
            lines.Add(line);
            Line(line);
        }
    }

    private void EndMessage()
    {
        if (lineIsOpen)
        {
            // Whatever comes next on a terminal begins its own line.
            lineIsOpen = false;
            write(LogStream.Stdout, "\n"u8);
        }
        if (message.Take(events) is { } said) write(LogStream.System, said);
    }

    private void EndThought()
    {
        if (thought.Take(events) is { } thinking) write(LogStream.System, thinking);
    }

    private void Line(string words) => write(LogStream.Stderr, Encoding.UTF8.GetBytes(OneLine(masks.Text(words)) + "\n"));

    /// <summary>Titles come from models: a line stays one, moves no cursor, and has an end. After the masks: of a value that is cut or changed nothing would be found.</summary>
    private static string OneLine(string words)
    {
        const int longest = 500;
        var cut = words.Length > longest ? TextCut.Keep(words, longest) + "…" : words;
        return new string([.. cut.Select(c => char.IsControl(c) ? ' ' : c)]);
    }

    /// <summary>As the wire has it.</summary>
    internal static string NameOf(PermissionTold told) => told.ToString().ToLowerInvariant();

    /// <summary>Collects the pieces of one message or thought into one event. What is longer than an event holds is on stdout, and not in another event: cut in two, a masked value would be found in neither.</summary>
    private sealed class EventText(string type, StepMasks masks)
    {
        private readonly StringBuilder text = new();
        private readonly StreamMasker? end = masks.StreamOf();

        /// <summary>Whether its end may be the beginning of a value.</summary>
        public bool IsOpen => end is { Holds: true };

        public void Append(string words)
        {
            end?.WriteText(words);
            // One more than an event takes, so that it says that it was cut.
            if (text.Length <= EventLine.MaxText) text.Append(words);
        }

        /// <summary>Null: there is none.</summary>
        public byte[]? Take(EventLine events)
        {
            end?.FinishText();
            if (text.Length == 0) return null;
            var words = text.ToString();
            var line = events.Text(type, words.Length > EventLine.MaxText ? masks.Beginning(words) : words);
            text.Clear();
            return line;
        }
    }
}
