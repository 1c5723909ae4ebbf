using System.Globalization;

namespace Tanjiren.Bench;

/// <summary>What eng/bench prepared (environment) and what was asked for (arguments).</summary>
internal sealed record BenchSettings
{
    private static readonly string[] Verbs = ["dispatch", "noop", "commands", "heartbeats", "logs", "stored", "doctrine", "masking", "idle", "fleet"];

    public required string Verb { get; init; }
    /// <summary>Turns that each contender gets.</summary>
    public int Rounds { get; init; } = 7;
    /// <summary>Latency samples in one turn.</summary>
    public int Samples { get; init; } = 100;
    /// <summary>Jobs in one turn, no-op ones and commands; four times as many heartbeats.</summary>
    public int Jobs { get; init; } = 2000;
    /// <summary>Output of the job that is tailed, and that is masked.</summary>
    public int Mebibytes { get; init; } = 128;
    /// <summary>Tasks that are stored already where lists and claims are compared, in thousands of them.</summary>
    public int Stored { get; init; } = 1_000_000;
    public int IdleSeconds { get; init; } = 60;
    /// <summary>How often a suspended agent is woken by a job.</summary>
    public int Wakes { get; init; } = 50;
    public int Workstations { get; init; } = 10_000;
    public int FleetSeconds { get; init; } = 600;
    /// <summary>Only contenders with this in their name, to look at one of them; null: all.</summary>
    public string? Only { get; init; }
    /// <summary>The report goes here as well as to standard output.</summary>
    public string? Out { get; init; }

    public string Postgres { get; } = Prepared("TANJIREN_TEST_POSTGRES");
    public string Stamp { get; } = Prepared("TANJIREN_BENCH_STAMP");
    public string SshConfig { get; } = Prepared("TANJIREN_BENCH_SSH_CONFIG");
    public string GraphileModules { get; } = Prepared("TANJIREN_BENCH_GRAPHILE");
    public string Peers { get; } = Prepared("TANJIREN_BENCH_PEERS");

    public static BenchSettings Parse(string[] args)
    {
        if (args is not [var verb, .. var rest] || !(verb == "all" || Verbs.Contains(verb)) || rest.Length % 2 != 0)
            throw new FormatException($"usage: eng/bench {string.Join('|', Verbs)}|all [--rounds N] [--samples N] [--jobs N] [--mebibytes N] [--stored N] [--idle-seconds N] [--wakes N] [--workstations N] [--fleet-seconds N] [--only TEXT] [--out FILE]");
        var settings = new BenchSettings { Verb = verb };
        foreach (var pair in rest.Chunk(2))
        {
            settings = pair[0] switch
            {
                "--rounds" => settings with { Rounds = Number(pair[1]) },
                "--samples" => settings with { Samples = Number(pair[1]) },
                "--jobs" => settings with { Jobs = Number(pair[1]) },
                "--mebibytes" => settings with { Mebibytes = Number(pair[1]) },
                "--stored" => settings with { Stored = Number(pair[1], from: 2 * StoredTasks.Originals) },
                "--idle-seconds" => settings with { IdleSeconds = Number(pair[1]) },
                "--wakes" => settings with { Wakes = Number(pair[1]) },
                "--workstations" => settings with { Workstations = Number(pair[1]) },
                "--fleet-seconds" => settings with { FleetSeconds = Number(pair[1]) },
                "--only" => settings with { Only = pair[1] },
                "--out" => settings with { Out = pair[1] },
                var unknown => throw new FormatException($"unknown option {unknown}"),
            };
        }
        return settings;
    }

    public bool Measures(string flow) => Verb == flow || Verb == "all";

    public bool Wants(string name) => Only is null || name.Contains(Only, StringComparison.OrdinalIgnoreCase);

    private static int Number(string text, int from = 1) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= from
            ? value
            : throw new FormatException($"'{text}' is not a number from {from}");

    private static string Prepared(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : throw new FormatException($"{name} is not set; start with eng/bench, which prepares the peers");
}
