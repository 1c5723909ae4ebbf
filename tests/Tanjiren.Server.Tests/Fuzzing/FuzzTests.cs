using System.Diagnostics;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>Nothing runs beside these tests: they measure memory.</summary>
[CollectionDefinition("Fuzzing", DisableParallelization = true)]
public sealed class FuzzingAlone;

/// <summary>
/// Structure-aware fuzzing of every route of the server: 20,000 cases over both databases, 500,000 in <c>eng/test-long</c>.
/// </summary>
[Collection("Fuzzing")]
public sealed class FuzzTests
{
    /// <summary>
    /// How much larger the managed heap may be after the run than after its first tenth, both after a forced collection. What grows rightly: the ids of used proofs
    /// (about 50 bytes each, for two minutes), counted attempts (about 200 bytes each, up to 100,000), cached keys (about 1 KB each, up to 20,000).
    /// A leak of 2 KB a request breaks it in 20,000 cases, one of 60 bytes in 500,000.
    /// </summary>
    private const long HeapBound = 32 * 1024 * 1024;

    private const double LeastAdmittedPercent = 95;

    /// <summary>Routes that can't succeed here, with the reason.</summary>
    private static readonly Dictionary<string, string> NeverSucceeds = new()
    {
        ["setup"] = "the server has its owner already",
        ["submitSetup"] = "the server has its owner already",
    };

    [Fact]
    public Task On_SQLite_no_request_breaks_the_server() => FuzzAsync(DatabaseKind.Sqlite, Prerequisite.LongRun ? 375_000 : 15_000);

    [Fact]
    public Task On_PostgreSQL_no_request_breaks_the_server() => FuzzAsync(DatabaseKind.Postgres, Prerequisite.LongRun ? 125_000 : 5_000);

    [Fact]
    public async Task Every_route_has_a_fuzz_plan()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var routes = await FuzzRoute.ReadAsync(server);
        routes.Count.ShouldBeGreaterThan(30);
        foreach (var page in routes.Where(r => r.IsPage))
            page.Method.ShouldBe("GET", $"{page.Name} has no fuzz plan: describe it in the OpenAPI document, with the form that it takes (TakesForm)");
    }

    [Fact]
    public async Task The_cast_goes_on_when_a_request_has_signed_its_owner_out()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite, o => o with { Settings = FuzzRun.Settings });
        using var cast = await Cast.CreateAsync(server);
        using var client = new FuzzClient(server);
        var routes = await FuzzRoute.ReadAsync(server);
        var random = new Random(1);
        var lessons = new Lessons(cast);
        async Task<int> SendAsync(string route)
        {
            var draft = new Draft(routes.Single(r => r.Name == route)) { Person = cast.PersonOf(Role.Owner, random) };
            var answer = await client.SendAsync(draft);
            await lessons.LearnAsync(draft, answer);
            return answer.Status;
        }

        (await SendAsync("logout")).ShouldBe(204);
        (await SendAsync("getMe")).ShouldBe(401);
        (await SendAsync("getMe")).ShouldBe(200);
        // What the cast makes behind the scenes never stood on that token.
        (await cast.WaysIn.InvitationAsync(random)).Code.ShouldNotBeEmpty();
        (await cast.WaysIn.SignInAsync(random)).Owner.Role.ShouldBe(Role.Owner);
    }

    private static async Task FuzzAsync(DatabaseKind kind, int standardCases)
    {
        var (server, log) = await FuzzRun.StartServerAsync(kind);
        await using var _ = server;
        var run = new FuzzRun(server, log, FuzzRun.Seed);
        var cases = FuzzRun.CasesOr(standardCases);
        Say($"fuzzing {kind}: {cases} cases, TANJIREN_FUZZ_SEED={FuzzRun.Seed}");
        var watch = Stopwatch.StartNew();
        List<long> heaps = [];
        var before = "";
        await run.RunAsync(cases, async () => before = await run.Other.SnapshotAsync(server), () => heaps.Add(Heap()), () => NeverGranted(run).Any());
        // Buffers that a pool keeps are given back when they have not been used for a minute or so; what is still there then is a leak.
        for (var settling = Stopwatch.StartNew(); heaps[^1] - heaps[0] > HeapBound && settling.Elapsed < TimeSpan.FromMinutes(3);)
        {
            await Task.Delay(TimeSpan.FromSeconds(5), TimeProvider.System, TestContext.Current.CancellationToken);
            heaps.Add(Heap());
        }
        var (warmHeap, heap) = (heaps[0], heaps[^1]);
        Say($"{kind}, seed {FuzzRun.Seed}, {watch.Elapsed.TotalSeconds:0} s, {run.Tally.Cases / watch.Elapsed.TotalSeconds:0} cases/s; managed heap after each tenth "
            + $"{string.Join(' ', heaps.Select(h => h >> 20))} MB, peak of the process {Process.GetCurrentProcess().PeakWorkingSet64 >> 20} MB{Environment.NewLine}{run.Tally.Table()}");

        // All of it at once: one defect often explains another.
        List<string> wrong = [.. run.Failures, .. await DatabaseInvariants.BrokenAsync(server)];
        if (await run.Other.SnapshotAsync(server) != before) wrong.Add("the other organization was changed");
        if (run.Tally.AdmittedPercent < LeastAdmittedPercent) wrong.Add($"only {run.Tally.AdmittedPercent:0.0} % passed authentication");
        if (heap - warmHeap > HeapBound) wrong.Add($"the heap grew by {(heap - warmHeap) / 1024} KB");
        foreach (var route in NeverGranted(run))
            wrong.Add($"{route} never granted anything: give DraftMaker what it needs, or add the reason to {nameof(NeverSucceeds)}");
        wrong.ShouldBeEmpty(string.Join(Environment.NewLine + Environment.NewLine, wrong));
    }

    private static IEnumerable<string> NeverGranted(FuzzRun run) => run.Tally.NeverSucceeded.Except(NeverSucceeds.Keys);

    private static long Heap()
    {
        // Twice, so that what finalizers held is gone too.
        for (var i = 0; i < 2; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }
        return GC.GetTotalMemory(forceFullCollection: true);
    }

    /// <summary>To the console itself: a passing test's own output is not shown.</summary>
    private static void Say(string text) => Console.Error.WriteLine(text);
}
