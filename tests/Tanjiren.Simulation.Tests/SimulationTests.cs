using System.Globalization;
using Tanjiren.Tests;

namespace Tanjiren.Simulation.Tests;

/// <summary>
/// Server rules, store and agents in virtual time: docs/concepts/simulation.md. 1,000 seeds in eng/test; 20,000 in eng/test-long, which goes on where it was interrupted.
/// <c>TANJIREN_SEED=n PROJECTS=Simulation eng/test -class '*SimulationTests'</c> replays one and prints its whole story; <c>TANJIREN_SEEDS=n</c> runs another number of them.
/// </summary>
public sealed class SimulationTests : IAsyncLifetime
{
    private const int Chunk = 500;

    private Template _template = null!;

    public async ValueTask InitializeAsync() => _template = await Template.CreateAsync();

    [Fact]
    public void Every_promise_holds_in_every_seed()
    {
        if (Setting("TANJIREN_SEED") is { } seed)
        {
            var outcome = SeedRuns.Tell(seed, _template);
            Say(string.Join(Environment.NewLine, outcome.Trace));
            Say(outcome.Ledger.Table());
            Say($"seed {seed}: {outcome.Events} events, {outcome.Faults} faults, {outcome.Tasks} tasks, {outcome.Agents} agents: {outcome.Failure ?? "every promise held"}");
            outcome.Failure.ShouldBeNull();
            return;
        }
        var totals = new Totals();
        var asked = Setting("TANJIREN_SEEDS");
        var count = asked ?? (Prerequisite.LongRun ? 20_000 : 1000);
        var progress = Prerequisite.LongRun && asked is null ? Progress.InArtifacts() : null;
        for (var through = progress?.Load(totals) ?? 0; through < count;)
        {
            var next = Math.Min(count, through + Chunk);
            var failed = SeedRuns.Run(Enumerable.Range(through + 1, next - through), _template, totals);
            if (failed.Count > 0) Assert.Fail(string.Join(Environment.NewLine, failed.Select(Describe)));
            through = next;
            progress?.Save(through, totals);
            Say($"simulation: {totals.Line}");
        }
        Say(totals.Ledger.Table());
        progress?.Forget();
        // Fewer seeds than these need not have met everything.
        if (count >= 1000) totals.Ledger.Missing().ShouldBeEmpty("what never happened was not tested");
    }

    [Fact]
    public void A_seed_tells_the_same_story_each_time()
    {
        for (var seed = 1; seed <= 10; seed++)
        {
            var (first, second) = (SeedRuns.Tell(seed, _template), SeedRuns.Tell(seed, _template));
            for (var i = 0; i < Math.Min(first.Trace.Count, second.Trace.Count); i++)
                first.Trace[i].ShouldBe(second.Trace[i], $"seed {seed}, event {i}, after {(i > 0 ? first.Trace[i - 1] : "the start")}");
            first.Trace.Count.ShouldBe(second.Trace.Count);
            first.Ledger.Counts.ShouldBe(second.Ledger.Counts);
        }
    }

    public ValueTask DisposeAsync()
    {
        _template.Dispose();
        return ValueTask.CompletedTask;
    }

    private static string Describe(SeedOutcome outcome) => $"""
        seed {outcome.Seed}: {outcome.Failure}
        replay: TANJIREN_SEED={outcome.Seed} PROJECTS=Simulation eng/test -class '*SimulationTests'
        the last events:
        {string.Join(Environment.NewLine, outcome.Trace.TakeLast(40))}
        """;

    private static int? Setting(string name) => int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.Integer, CultureInfo.InvariantCulture, out var value) ? value : null;

    private static void Say(string text) => Console.Error.WriteLine(text);
}
