using System.Diagnostics;
using System.Globalization;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Governance;

namespace Tanjiren.Bench;

/// <summary>The product's own evaluator with a doctrine of 200 rules over a command of 200 characters: no database, one thread.</summary>
internal sealed class DoctrineEvaluations : ILatencyContender
{
    private const int Rules = 200, CommandLength = 200;

    /// <summary>Evaluations for one sample of the settings: each takes microseconds.</summary>
    private const int Each = 100;

    private readonly Doctrine _doctrine;
    private readonly DoctrineCase _task;
    private readonly int _findings;

    private DoctrineEvaluations(string name, string document, int findings)
    {
        var reading = DoctrineReader.Read(document);
        if (reading.Faults.Count > 0) throw new InvalidOperationException($"{name}: {reading.Faults[0]}");
        if (reading.Doctrine.Rules.Count != Rules) throw new InvalidOperationException($"{name} has {reading.Doctrine.Rules.Count} rules");
        const string Command = "kubectl --context staging-eu-1 --namespace shop rollout restart deployment/checkout deployment/basket deployment/search";
        (Name, _doctrine, _findings) = (name, reading.Doctrine, findings);
        _task = new DoctrineCase
        {
            Mode = TaskMode.Command, Text = Command.PadRight(CommandLength - 1, '0') + "1", Tags = new HashSet<string> { "linux", "eu", "team-7" }, ActorRole = Role.Member,
            Origins = [DoctrineOrigin.Request], Now = new DateTimeOffset(2026, 11, 21, 12, 0, 0, TimeSpan.Zero),
        };
    }

    public string Name { get; }

    public string Measures => string.Create(CultureInfo.InvariantCulture, $"{_doctrine.Rules.Count} rules, {_doctrine.Patterns.Count} patterns, {_findings} rules match; a command of {_task.Text.Length} characters on a machine with {_task.Tags.Count} tags");

    public static Task<IReadOnlyList<Measured>> MeasureAsync(BenchSettings settings, CancellationToken cancellation) => Rounds.LatencyAsync(
    [
        Entry("rules of every kind", OfEveryKind(), findings: 3),
        Entry("a pattern in each rule, none matches", Patterns("deployed"), findings: 0),
        Entry("a pattern in each rule, ten match", Patterns("deployment"), findings: 10),
    ], settings, cancellation);

    public Task<double[]> SampleAsync(int count, CancellationToken cancellation)
    {
        var times = new double[count * Each];
        for (var i = 0; i < times.Length; i++)
        {
            var from = Stopwatch.GetTimestamp();
            var decision = DoctrineEvaluator.Evaluate(_doctrine, 1, _task);
            times[i] = Stopwatch.GetElapsedTime(from).TotalMilliseconds;
            if (decision.Findings.Count != _findings) throw new InvalidOperationException($"{Name}: {decision.Findings.Count} rules match");
        }
        return Task.FromResult(times);
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static Entry<ILatencyContender> Entry(string name, string document, int findings) =>
        new(name, () => Task.FromResult<ILatencyContender>(new DoctrineEvaluations(name, document, findings)));

    /// <summary>100 patterns, 60 rules on tags, roles, modes and origins, 40 freezes of which four are for everything and closed.</summary>
    private static string OfEveryKind()
    {
        var yaml = new StringBuilder("forbid:\n");
        for (var i = 0; i < 20; i++) Line($"  - {{ name: forbid {i}, when: {{ pattern: '\\bwipe-{i}\\s+(--force|-f)\\b' }} }}");
        Line("approvals:");
        for (var i = 0; i < 79; i++) Line($"  - {{ name: tool {i}, class: sensitive_write, when: {{ pattern: '(?s)\\btool-{i}\\s.*\\b(apply|destroy|delete)\\b' }} }}");
        Line(@"  - { name: kubectl, class: sensitive_write, when: { pattern: '(?s)\bkubectl\s.*\b(apply|create|delete|drain|exec|patch|rollout|scale)\b' } }");
        for (var i = 0; i < 40; i++) Line($"  - {{ name: team {i}, class: sensitive_write, when: {{ tags: [team-{i}, tier-{i}] }} }}");
        for (var i = 0; i < 19; i++) Line($"  - {{ name: schedule {i}, class: production_mutation, when: {{ origin: schedule, mode: command, tags: [zone-{i}] }} }}");
        Line("  - { name: members, class: sensitive_write, when: { role: [viewer, member], mode: command, origin: request } }");
        Line("freeze:");
        for (var i = 0; i < 36; i++) Line($"  - {{ name: freeze {i}, zone: Europe/Berlin, cron: '0 18 * * 5', duration: 62h, when: {{ tags: [shop-{i}] }} }}");
        for (var i = 0; i < 4; i++) Line($"  - {{ name: night {i}, zone: Europe/Berlin, cron: '0 {i} * * *', duration: 1h }}");
        return yaml.ToString();

        void Line(string text) => yaml.Append(text).Append('\n');
    }

    /// <summary>The patterns of the first ten rules look for this word.</summary>
    private static string Patterns(string word)
    {
        var yaml = new StringBuilder("approvals:\n");
        for (var i = 0; i < Rules; i++)
        {
            var text = i < 10 ? $"\\b{word}/(checkout|basket-{i})\\b" : $"(?i)\\btool-{i}\\s+(apply|destroy)\\b";
            yaml.Append(CultureInfo.InvariantCulture, $"  - {{ name: rule {i}, class: sensitive_write, when: {{ pattern: '{text}' }} }}\n");
        }
        return yaml.ToString();
    }
}
