using System.Collections;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// The whole environment of a job: a small base of the agent's own, what the task sets, what the task asks of the machine by name, and the step's
/// identity. Nothing else of the agent's reaches a job, least of all its own settings and secrets (A-09).
/// </summary>
internal static class JobEnvironment
{
    public const string StepIdName = "TANJIREN_STEP_ID";
    public const string TaskIdName = "TANJIREN_TASK_ID";
    public const string GenerationName = "TANJIREN_LEASE_GENERATION";

    private const string LocalePrefix = "LC_";

    private static readonly string[] Base = OperatingSystem.IsWindows()
        ?
        [
            "PATH", "PATHEXT", "SystemRoot", "SystemDrive", "windir", "ComSpec", "TEMP", "TMP", "USERNAME", "USERDOMAIN", "USERPROFILE", "HOMEDRIVE",
            "HOMEPATH", "APPDATA", "LOCALAPPDATA", "ProgramData", "ProgramFiles", "ProgramFiles(x86)", "ProgramW6432", "CommonProgramFiles",
            "PROCESSOR_ARCHITECTURE", "NUMBER_OF_PROCESSORS", "OS", "TZ",
        ]
        : ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"];

    /// <summary>The agent's own settings: never taken from the machine, whoever asks.</summary>
    private static readonly string[] OwnPrefixes = ["TANVRIT_", "TANJIREN_", "Tanjiren__"];

    private static StringComparer Names => OperatingSystem.IsWindows() ? StringComparer.OrdinalIgnoreCase : StringComparer.Ordinal;

    public static IReadOnlyDictionary<string, string> Build(ClaimResponse claim, ActivityContext trace) =>
        Build(claim.StepId, claim.TaskId, claim.LeaseGeneration, Given(claim), claim.EnvironmentFromMachine, trace: trace);

    /// <param name="stepId">TANJIREN_STEP_ID.</param>
    /// <param name="taskId">TANJIREN_TASK_ID.</param>
    /// <param name="generation">TANJIREN_LEASE_GENERATION.</param>
    /// <param name="environment">Set by the task; wins over the base.</param>
    /// <param name="fromMachine">Names whose values come from this machine, and win over both. Names that are not set here are left out, as are <see cref="Withheld"/>.</param>
    /// <param name="machine">The agent's own environment; absent: as it is.</param>
    /// <param name="trace">TRACEPARENT and TRACESTATE, unless the task sets a TRACEPARENT of its own: the state of another trace beside it would be wrong.</param>
    public static IReadOnlyDictionary<string, string> Build(string stepId, string taskId, long generation,
        IReadOnlyDictionary<string, string>? environment, IReadOnlyList<string>? fromMachine,
        IReadOnlyDictionary<string, string>? machine = null, ActivityContext? trace = null)
    {
        machine ??= OfThisProcess();
        // The identity comes first, so that a search of a process's environment finds it at once; it is set again last, so that no task overrides it.
        var result = new Dictionary<string, string>(Names);
        Identify();
        foreach (var (name, value) in machine)
            if (Base.Contains(name, Names) || name.StartsWith(LocalePrefix, StringComparison.Ordinal)) result[name] = value;
        foreach (var (name, value) in environment ?? new Dictionary<string, string>()) result[name] = value;
        foreach (var name in fromMachine ?? [])
            if (!IsOwn(name) && machine.TryGetValue(name, out var value)) result[name] = value;
        if (trace is { } span && result.TryAdd(TraceContext.ParentVariable, TraceContext.Format(span)) && span.TraceState is { } state)
            result.TryAdd(TraceContext.StateVariable, state);
        Identify();
        return result;

        void Identify()
        {
            result[StepIdName] = stepId;
            result[TaskIdName] = taskId;
            result[GenerationName] = generation.ToString(CultureInfo.InvariantCulture);
        }
    }

    /// <summary>What the machine's owner sets on top, for one program only; the agent's own names are nobody's to set.</summary>
    public static IReadOnlyDictionary<string, string> With(IReadOnlyDictionary<string, string> environment, IReadOnlyDictionary<string, string> more)
    {
        if (more.Count == 0) return environment;
        var result = new Dictionary<string, string>(environment, Names);
        foreach (var (name, value) in more)
            if (!IsOwn(name)) result[name] = value;
        return result;
    }

    /// <summary>Names that a task asked of the machine and does not get, because they are the agent's own.</summary>
    public static IReadOnlyList<string> Withheld(IReadOnlyList<string>? fromMachine) => [.. (fromMachine ?? []).Where(IsOwn)];

    /// <summary>The line of the job's log that says so; null when nothing was withheld.</summary>
    public static byte[]? WithheldNotice(IReadOnlyList<string>? fromMachine) => Withheld(fromMachine) is { Count: > 0 } withheld
        ? Encoding.UTF8.GetBytes($"[tanjiren] not passed on, because they are the agent's own: {string.Join(", ", withheld)}\n")
        : null;

    /// <summary>The task's variables and its secrets. No name is in both: the server sees to that, and the secret would count.</summary>
    private static IReadOnlyDictionary<string, string>? Given(ClaimResponse claim)
    {
        if (claim.Secrets is not { Count: > 0 } secrets) return claim.Environment;
        var all = new Dictionary<string, string>(Names);
        foreach (var (name, value) in (claim.Environment ?? new Dictionary<string, string>()).Concat(secrets)) all[name] = value;
        return all;
    }

    private static bool IsOwn(string name) => OwnPrefixes.Any(p => name.StartsWith(p, StringComparison.OrdinalIgnoreCase)) || IsCollectorSecret(name);

    /// <summary>OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY and so on: what the agent's own export proves itself with.</summary>
    private static bool IsCollectorSecret(string name) => name.StartsWith("OTEL_EXPORTER_OTLP_", StringComparison.OrdinalIgnoreCase)
        && (name.EndsWith("HEADERS", StringComparison.OrdinalIgnoreCase) || name.EndsWith("CLIENT_KEY", StringComparison.OrdinalIgnoreCase));

    private static Dictionary<string, string> OfThisProcess()
    {
        var machine = new Dictionary<string, string>(Names);
        foreach (DictionaryEntry entry in Environment.GetEnvironmentVariables())
            machine[(string)entry.Key] = (string?)entry.Value ?? "";
        return machine;
    }
}
