using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading.Channels;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// The process that outlives the agent for as long as it takes to kill what the agent had started. Its input is a pipe that the agent alone holds open:
/// end of file means that the agent is dead, however it died. It also holds every lease deadline, for an agent that lives and does nothing
/// (stopped, swapped out, stuck): a tree whose deadline has passed is killed, and killed again should it be started late, until it is forgotten.
/// </summary>
public static class Watchdog
{
    /// <summary>Runs until end of input and the death of every tree. Returns 0, or 1 when processes were left that may not be killed.</summary>
    /// <param name="stdin">The agent's end of <see cref="WatchdogMessage"/>.</param>
    /// <param name="log">For operators; never waited for.</param>
    public static int Main(Stream stdin, TextWriter log)
    {
        ArgumentNullException.ThrowIfNull(stdin);
        ArgumentNullException.ThrowIfNull(log);
        // Whoever stops the agent's process group or service must not stop the one that cleans up after it.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Ignore);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Ignore);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Ignore);
        using var answers = Console.OpenStandardOutput();
        return new WatchdogLoop(answers, log).Run(stdin);

        static void Ignore(PosixSignalContext context) => context.Cancel = true;
    }
}

/// <summary>One thread reads, one stops, one kills, one writes the log: a full log pipe or a long kill delays nothing else.</summary>
internal sealed class WatchdogLoop(Stream answers, TextWriter log)
{
    /// <summary>Longest sleep while a tree is watched: a wait does not count time asleep, so the clock itself is read this often.</summary>
    private static readonly TimeSpan ReadClock = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(50);
    /// <summary>How long another user's processes, which may not be killed, are tried again after the agent's death.</summary>
    private static readonly TimeSpan GiveUpOnRefused = TimeSpan.FromMinutes(10);
    /// <summary>How long the end waits for the last lines of the log.</summary>
    private static readonly TimeSpan FlushLog = TimeSpan.FromSeconds(1);

    private readonly object _gate = new();
    private readonly Dictionary<string, Watched> _watched = [];
    private readonly Channel<string> _lines = Channel.CreateBounded<string>(new BoundedChannelOptions(256) { FullMode = BoundedChannelFullMode.DropWrite });
    private ProcessName? _agent;
    private bool _ended;

    private sealed class Watched(ulong mark, long deadline, ProcessTree tree)
    {
        public ulong Mark { get; } = mark;
        public long Deadline { get; set; } = deadline;
        public ProcessTree Tree { get; set; } = tree;
        /// <summary>Its deadline has passed and it may have been stopped: no later word saves it, or it would stand still for ever.</summary>
        public bool Condemned { get; set; }
        /// <summary>Processes were found after the deadline or the agent's end: said once.</summary>
        public bool Announced { get; set; }
    }

    public int Run(Stream input)
    {
        var writer = StartThread("watchdog log", WriteLog);
        // Said before the first line is read: an answer to one must not come before it.
        Answer(WatchdogMessage.Ready);
        _ = StartThread("watchdog stop", StopOnTime);
        _ = StartThread("watchdog input", () => ReadInput(input));
        var code = Guard();
        _lines.Writer.TryComplete();
        _ = writer.Join(FlushLog);
        return code;
    }

    /// <summary>
    /// Stops what is due at its very deadline. Apart from the kills: each of those searches the whole machine, which may take most of a second on a loaded one, and
    /// another deadline may pass meanwhile.
    /// </summary>
    private void StopOnTime()
    {
        while (true)
        {
            List<ProcessTree> due = [];
            lock (_gate)
            {
                var now = BootClock.NowMs;
                foreach (var watched in _watched.Values.Where(w => !w.Condemned && (_ended || w.Deadline <= now)))
                {
                    watched.Condemned = true;
                    due.Add(watched.Tree);
                }
                if (due.Count == 0)
                {
                    Monitor.Wait(_gate, UntilNextDeadlineLocked(now));
                    continue;
                }
            }
            foreach (var tree in due) tree.StopGroup();
        }
    }

    /// <summary>Sleeps until a deadline or the end of input, kills what is due, and looks again.</summary>
    private int Guard()
    {
        long? refusedSince = null;
        var pause = FirstPause;
        while (true)
        {
            List<KeyValuePair<string, Watched>> due;
            bool ended;
            lock (_gate)
            {
                var now = BootClock.NowMs;
                ended = _ended;
                due = [.. _watched.Where(w => ended || w.Value.Condemned || w.Value.Deadline <= now)];
                if (due.Count == 0)
                {
                    if (ended) return 0;
                    Monitor.Wait(_gate, UntilNextDeadlineLocked(now));
                    continue;
                }
            }

            int left = 0, refused = 0;
            foreach (var (stepId, watched) in due)
            {
                var (treeLeft, treeRefused) = Kill(stepId, watched, ended);
                left += treeLeft;
                refused += treeRefused;
                if (!ended || treeLeft > 0) continue;
                lock (_gate) _watched.Remove(stepId);
            }

            if (ended && left == 0) continue;
            if (left > refused || left == 0) refusedSince = null;
            else refusedSince ??= BootClock.NowMs;
            if (ended && refusedSince is { } since && BootClock.NowMs - since > GiveUpOnRefused.TotalMilliseconds)
            {
                Say($"gave up on {refused} processes of other users");
                return 1;
            }
            // Nothing left of an expired tree, or only what refuses: look again each second, until it is forgotten.
            pause = left > refused ? Min(pause * 2, LongestPause) : ReadClock;
            lock (_gate)
            {
                if (_ended == ended) Monitor.Wait(_gate, pause);
            }
            if (left <= refused) pause = FirstPause;
        }
    }

    private (int Left, int Refused) Kill(string stepId, Watched watched, bool ended)
    {
        var (killed, left, refused) = watched.Tree.Strike();
        if (killed + refused > 0 && !watched.Announced)
        {
            watched.Announced = true;
            Say($"{(ended ? "the agent has ended" : "the lease's deadline has passed")}: killed {killed} processes of {stepId}{(refused > 0 ? $", {refused} may not be" : "")}");
        }
        return (left, refused);
    }

    private TimeSpan UntilNextDeadlineLocked(long now)
    {
        var next = _watched.Values.Where(w => !w.Condemned).Min(w => (long?)w.Deadline);
        return next is null ? Timeout.InfiniteTimeSpan : Min(TimeSpan.FromMilliseconds(Math.Max(1, next.Value - now)), ReadClock);
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    private void ReadInput(Stream input)
    {
        try
        {
            using var reader = new StreamReader(input, Encoding.ASCII);
            while (reader.ReadLine() is { } line)
            {
                if (WatchdogMessage.Parse(line) is { } message) Take(message);
                else Say($"not understood: {line[..Math.Min(line.Length, 100)]}");
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // An input that cannot be read is one that has ended: both ways the agent no longer answers for its processes.
            Say($"the input failed: {e.Message}");
        }
        lock (_gate)
        {
            _ended = true;
            Monitor.PulseAll(_gate);
        }
    }

    private void Take(WatchdogMessage message)
    {
        if (message.Verb == WatchdogVerb.Ping)
        {
            Answer(WatchdogMessage.Pong);
            return;
        }
        lock (_gate)
        {
            if (message.Verb == WatchdogVerb.Agent)
                _agent = new ProcessName(message.Pid, message.Value);
            else if (message.Verb == WatchdogVerb.Watch)
                _watched[message.StepId] = new Watched(message.Mark, message.Value, new ProcessTree(message.Mark, 0, message.StepId, spared: _agent));
            else if (!_watched.TryGetValue(message.StepId, out var watched))
                Say($"{message.Verb} of {message.StepId}, which is not watched");
            else if (message.Verb == WatchdogVerb.Root)
                watched.Tree = new ProcessTree(watched.Mark, message.Pid, message.StepId, message.Value, spared: _agent);
            else if (message.Verb == WatchdogVerb.Extend)
                watched.Deadline = message.Value;
            else
                _watched.Remove(message.StepId);
            Monitor.PulseAll(_gate);
        }
    }

    private void Answer(string line)
    {
        try
        {
            answers.Write(Encoding.ASCII.GetBytes(line + "\n"));
            answers.Flush();
        }
        catch (IOException)
        {
            // The agent is gone; its end of the input says so too, and that is what counts.
        }
    }

    private void Say(string line) => _ = _lines.Writer.TryWrite("watchdog: " + line);

    [SuppressMessage("Usage", "MA0045", Justification = "A thread of its own: blocking is its purpose.")]
    private void WriteLog()
    {
        try
        {
            while (_lines.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
                while (_lines.Reader.TryRead(out var line)) log.WriteLine(line);
            log.Flush();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // Nobody reads the log any more. The killing goes on without it.
        }
    }

    private static Thread StartThread(string name, Action body)
    {
        var thread = new Thread(() => body(), maxStackSize: 256 * 1024) { IsBackground = true, Name = name };
        thread.Start();
        return thread;
    }
}
