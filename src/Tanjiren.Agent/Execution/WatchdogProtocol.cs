using System.Globalization;

namespace Tanjiren.Agent.Execution;

internal enum WatchdogVerb
{
    /// <summary><c>agent PID START</c>, first of all: the one process that is never killed.</summary>
    Agent,
    /// <summary><c>watch STEP MARK DEADLINE</c>. Again for the same step: replaces it.</summary>
    Watch,
    /// <summary><c>root STEP PID START</c>: the root process, which helps where there are no marks.</summary>
    Root,
    /// <summary><c>extend STEP DEADLINE</c>.</summary>
    Extend,
    /// <summary><c>forget STEP</c>: its tree is dead or no longer ours.</summary>
    Forget,
    /// <summary><c>ping</c>, answered with <c>pong</c>.</summary>
    Ping,
}

/// <summary>
/// One line a message, in both directions, short enough that a pipe takes it whole or not at all (PIPE_BUF): a killed agent leaves no half of one.
/// Deadlines are milliseconds of <see cref="BootClock"/>, which both processes share.
/// </summary>
internal readonly record struct WatchdogMessage(WatchdogVerb Verb, string StepId, ulong Mark, long Value, int Pid)
{
    public const string Ready = "ready";
    public const string Pong = "pong";
    public const int MaxLength = 512;

    public static string Agent(int pid, long startTime) => Invariant($"agent {pid} {startTime}");

    public static string Watch(string stepId, ulong mark, long deadline) => Invariant($"watch {Checked(stepId)} {mark} {deadline}");

    public static string Root(string stepId, int pid, long startTime) => Invariant($"root {Checked(stepId)} {pid} {startTime}");

    public static string Extend(string stepId, long deadline) => Invariant($"extend {Checked(stepId)} {deadline}");

    public static string Forget(string stepId) => $"forget {Checked(stepId)}";

    public const string Ping = "ping";

    /// <summary>Null when the line is none of these.</summary>
    public static WatchdogMessage? Parse(string line) => line.Split(' ') switch
    {
        ["watch", var step, var mark, var deadline] when ulong.TryParse(mark, NumberStyles.None, CultureInfo.InvariantCulture, out var m) && IsNumber(deadline, out var d)
            => new WatchdogMessage(WatchdogVerb.Watch, step, m, d, 0),
        ["agent", var pid, var start] when IsNumber(pid, out var p) && p is > 0 and <= int.MaxValue && IsNumber(start, out var s)
            => new WatchdogMessage(WatchdogVerb.Agent, "", 0, s, (int)p),
        ["root", var step, var pid, var start] when IsNumber(pid, out var p) && p is > 0 and <= int.MaxValue && IsNumber(start, out var s)
            => new WatchdogMessage(WatchdogVerb.Root, step, 0, s, (int)p),
        ["extend", var step, var deadline] when IsNumber(deadline, out var d) => new WatchdogMessage(WatchdogVerb.Extend, step, 0, d, 0),
        ["forget", var step] => new WatchdogMessage(WatchdogVerb.Forget, step, 0, 0, 0),
        [Ping] => new WatchdogMessage(WatchdogVerb.Ping, "", 0, 0, 0),
        _ => null,
    };

    private static bool IsNumber(string text, out long value) => long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Checked(string stepId) => stepId.Length is > 0 and <= 128 && !stepId.Any(c => char.IsWhiteSpace(c) || char.IsControl(c))
        ? stepId
        : throw new ArgumentException($"'{stepId}' is no step id.", nameof(stepId));
}
