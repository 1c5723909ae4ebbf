using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Tanjiren.Bench;

/// <summary>bench/RESULTS.md: facts of the machine (never its name), how to repeat, and every figure beside its baseline of the same run.</summary>
internal sealed class Report
{
    private readonly StringBuilder _text = new();

    public Report(BenchSettings settings, string graphileVersion)
    {
        Line("# Results");
        Line();
        Line($"Repeat with `eng/bench {settings.Verb} --rounds {settings.Rounds} --samples {settings.Samples} --jobs {settings.Jobs} --out bench/RESULTS.md`. Contenders take turns; a figure is the median of its rounds,");
        Line("with the lowest and highest round in brackets; the first round of each is thrown away. Compare ratios, not figures: machines differ and are noisy.");
        Line();
        Line($"- {TimeProvider.System.GetUtcNow():yyyy-MM-dd}, {Environment.ProcessorCount} cores ({RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}), Linux {KernelVersion()}, {RuntimeInformation.FrameworkDescription}; load of the machine at the end {LoadAverage()}");
        Line("- PostgreSQL 15 with `fsync` and `synchronous_commit` on; graphile-worker " + graphileVersion + "; OpenSSH over loopback");
    }

    public void Latency(string title, string aim, IReadOnlyList<Measured> rows, string baseline)
    {
        var beside = rows.SingleOrDefault(row => row.Name == baseline);
        Line();
        Line($"## {title}");
        Line();
        Line(aim);
        Line();
        Line($"| | p50 ms | p99 ms | p50 ÷ {baseline} | p99 ÷ {baseline} | samples |");
        Line("|---|---|---|---|---|---|");
        foreach (var row in rows)
            Line($"| {row.Name} | {Cell(row, 0.5)} | {Cell(row, 0.99)} | {Ratio(row, beside, 0.5)} | {Ratio(row, beside, 0.99)} | {row.Samples} |");
        Footnotes(rows);
    }

    public void Throughput(string title, string aim, IReadOnlyList<Measured> rows, string baseline)
    {
        var beside = rows.SingleOrDefault(row => row.Name == baseline);
        Line();
        Line($"## {title}");
        Line();
        Line(aim);
        Line();
        Line($"| | a second | ÷ {baseline} | rounds |");
        Line("|---|---|---|---|");
        foreach (var row in rows)
            Line($"| {row.Name} | {row.Quantile(0.5):0} ({row.Lowest(0.5):0}–{row.Highest(0.5):0}) | {Ratio(row, beside, 0.5)} | {row.Rounds.Count} |");
        Footnotes(rows);
    }

    public void Growth(string title, string aim, IReadOnlyList<Growth> rows, int few, int many)
    {
        Line();
        Line($"## {title}");
        Line();
        Line(aim);
        Line();
        Line($"| | p50 ms, {few:#,0} stored | p50 ms, {many:#,0} stored | p50 × | p99 × | samples |");
        Line("|---|---|---|---|---|---|");
        foreach (var row in rows)
            Line($"| {row.Name} | {Cell(row.Few, 0.5)} | {Cell(row.Many, 0.5)} | {Ratio(row.Many, row.Few, 0.5)} | {Ratio(row.Many, row.Few, 0.99)} | {row.Many.Samples} |");
        Line();
        Line("- Pages of 50, newest first; one after another, through the services that the routes call, without HTTP; the server's loops run beside them. Each sample of the last flow adds one task to both.");
        Line("- The stored tasks have ended, on 16 workstations: of fifty one cancelled, three failed, the others succeeded; each with its execution, step, claim, events and summary. (none): nothing matches.");
    }

    public void Microseconds(string title, string aim, IReadOnlyList<Measured> rows)
    {
        Line();
        Line($"## {title}");
        Line();
        Line(aim);
        Line();
        Line("| | p50 µs | p99 µs | samples |");
        Line("|---|---|---|---|");
        foreach (var row in rows)
            Line($"| {row.Name} | {Cell(row, 0.5, 1000)} | {Cell(row, 0.99, 1000)} | {row.Samples} |");
        Footnotes(rows);
    }

    /// <summary>A table that is made already.</summary>
    public void Table(string title, string aim, string table)
    {
        Line();
        Line($"## {title}");
        Line();
        Line(aim);
        Line();
        Line(table);
    }

    public override string ToString() => _text.ToString();

    private void Footnotes(IReadOnlyList<Measured> rows)
    {
        Line();
        foreach (var row in rows)
            Line($"- {row.Name}: {row.Measures}.");
    }

    private static string Ratio(Measured row, Measured? beside, double q) =>
        beside is null ? "–" : string.Create(CultureInfo.InvariantCulture, $"{row.Quantile(q) / beside.Quantile(q):0.00}");

    /// <param name="row">Measured in milliseconds.</param>
    /// <param name="q">The quantile.</param>
    /// <param name="per">Units in a millisecond.</param>
    private static string Cell(Measured row, double q, double per = 1) =>
        string.Create(CultureInfo.InvariantCulture, $"{row.Quantile(q) * per:0.00} ({row.Lowest(q) * per:0.00}–{row.Highest(q) * per:0.00})");

    private static string KernelVersion() => Environment.OSVersion.Version.ToString(2);

    private static string LoadAverage() => string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ').Take(3));

    private void Line(FormattableString? text = null) => _text.Append(text?.ToString(CultureInfo.InvariantCulture)).Append('\n');

    private void Line(string text) => _text.Append(text).Append('\n');
}
