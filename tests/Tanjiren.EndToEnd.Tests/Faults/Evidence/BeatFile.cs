using System.Globalization;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

internal enum BeatKind
{
    Start,
    Beat,
    End,
}

/// <summary>One line of the file. <paramref name="Line"/> is its place: lines are appended whole, so their order is the order in which they happened.</summary>
internal sealed record Beat(int Line, BeatKind Kind, string Process, string StepId, long Generation, double Uptime);

/// <summary>
/// The witness of the fault tests: jobs append start, a beat every 100 ms, and end to one file. Each line is one write to a file opened for
/// appending, so the kernel orders the lines of all processes; no clock is trusted for that order, and the uptime in them is for people.
/// </summary>
internal sealed class BeatFile(string path)
{
    // $$ alone would not do: process ids come again. Field 22 of stat is the start time; the shell's own name has no blank in it.
    private const string Script = """
        read -r stat < "/proc/$$/stat"; set -- $stat; me="$$@${22}"
        say() { read -r up rest < /proc/uptime; printf '%s %s %s %s %s\n' "$1" "$me" "$TANJIREN_STEP_ID" "$TANJIREN_LEASE_GENERATION" "$up" >> "$BEAT_FILE"; }
        say start
        i=0
        while [ "$i" -lt "$BEAT_COUNT" ]; do
            sleep 0.1; say beat
            { echo "beat $i"; head -c 300 /dev/urandom; } | tee -a "$BEAT_FILE.$TANJIREN_STEP_ID.$TANJIREN_LEASE_GENERATION"
            i=$((i + 1))
        done
        say end
        """;

    public string Path => path;

    /// <summary>A job of <paramref name="beats"/> tenths of a second, and output for the outbox: a line and 300 random bytes a beat.</summary>
    public CreateTaskRequest Job(int beats, TargetSpec targets, int leaseGraceSeconds, OnWorkerLost onWorkerLost = OnWorkerLost.Requeue) => new()
    {
        Intent = "beat",
        Command = new CommandSpec { Shell = Script },
        Environment = new Dictionary<string, string> { ["BEAT_FILE"] = path, ["BEAT_COUNT"] = beats.ToString(CultureInfo.InvariantCulture) },
        Targets = targets,
        TimeoutSeconds = 120,
        LeaseGraceSeconds = leaseGraceSeconds,
        OnWorkerLost = onWorkerLost,
    };

    /// <summary>What the process of this generation wrote to its standard output: it keeps a copy beside the file.</summary>
    public byte[] OutputOf(string stepId, long generation) =>
        File.Exists($"{path}.{stepId}.{generation}") ? File.ReadAllBytes($"{path}.{stepId}.{generation}") : [];

    public IReadOnlyList<Beat> Read()
    {
        if (!File.Exists(path))
            return [];
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var reader = new StreamReader(stream);
        // The last piece has no end yet: a write that crosses a page of the file becomes visible in two parts.
        var lines = reader.ReadToEnd().Split('\n')[..^1];
        return [.. lines.Select(Parse)];
    }

    private static Beat Parse(string text, int line)
    {
        var words = text.Split(' ');
        if (words.Length != 5 || !Enum.TryParse<BeatKind>(words[0], ignoreCase: true, out var kind))
            throw new InvalidDataException($"line {line + 1} of the beat file is '{text}'");
        return new Beat(line + 1, kind, words[1], words[2], long.Parse(words[3], CultureInfo.InvariantCulture), double.Parse(words[4], CultureInfo.InvariantCulture));
    }
}
