using System.Diagnostics;
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

    private const string NoDeclaredForm = "no plan yet: its form body is not declared in the OpenAPI document";

    /// <summary>Pages whose form is shown only to who has a code, with the reason that none is fetched.</summary>
    private static readonly Dictionary<string, string> NoFormWithoutCode = new()
    {
        ["POST /invitations"] = "no plan yet: its form is shown only with the code of an open invitation",
    };

    /// <summary>Routes that can't succeed here, or for which nobody has made a plan yet, with the reason.</summary>
    private static readonly Dictionary<string, string> NeverSucceeds = new()
    {
        ["setup"] = "the server has its owner already",
        ["POST /setup"] = "the server has its owner already",
        ["GET /invitations"] = "no plan yet: it takes the code of an open invitation",
        ["POST /invitations"] = NoFormWithoutCode["POST /invitations"],
        ["POST /device"] = "no plan yet: the decision's form takes a user code and a session; its sign-in form answers 303",
        ["acceptInvitation"] = "no plan yet: it takes the code of an open invitation",
        ["revokeInvitation"] = "no plan yet: it takes the id of an open invitation",
        ["authorizeDevice"] = NoDeclaredForm,
        ["token"] = NoDeclaredForm,
        ["revoke"] = NoDeclaredForm,
        ["revokeGrant"] = "no plan yet: it takes a grant, which only an approved device code makes",
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
        using var client = new FuzzClient(server);
        foreach (var page in routes.Where(r => r.IsPage && r.Method != "GET" && !NoFormWithoutCode.ContainsKey(r.Name)))
        {
            var help = $"{page.Name} has no fuzz plan: describe it in the OpenAPI document, or show its form at GET {page.Template}";
            routes.ShouldContain(r => r.Method == "GET" && r.Template == page.Template, help);
            (await client.FetchFormAsync(new Draft(page))).Fields.ShouldNotBeEmpty(help);
        }
    }

    private static async Task FuzzAsync(DatabaseKind kind, int standardCases)
    {
        var (server, log) = await FuzzRun.StartServerAsync(kind);
        await using var _ = server;
        var run = new FuzzRun(server, log, FuzzRun.Seed);
        var cases = FuzzRun.CasesOr(standardCases);
        Say($"fuzzing {kind}: {cases} cases, TANJIREN_FUZZ_SEED={FuzzRun.Seed}");
        var watch = Stopwatch.StartNew();
        long warmHeap = 0;
        var before = "";
        await run.RunAsync(cases, async () => before = await run.Other.SnapshotAsync(server), () => warmHeap = Heap());
        var heap = Heap();
        Say($"{kind}, seed {FuzzRun.Seed}, {watch.Elapsed.TotalSeconds:0} s; managed heap {warmHeap / 1024} KB after a tenth, {heap / 1024} KB after all{Environment.NewLine}{run.Tally.Table()}");

        // All of it at once: one defect often explains another.
        List<string> wrong = [.. run.Failures, .. await DatabaseInvariants.BrokenAsync(server)];
        if (await run.Other.SnapshotAsync(server) != before) wrong.Add("the other organization was changed");
        if (run.Tally.AdmittedPercent < LeastAdmittedPercent) wrong.Add($"only {run.Tally.AdmittedPercent:0.0} % passed authentication");
        if (heap - warmHeap > HeapBound) wrong.Add($"the heap grew by {(heap - warmHeap) / 1024} KB");
        foreach (var route in run.Tally.NeverSucceeded.Except(NeverSucceeds.Keys))
            wrong.Add($"{route} never granted anything: give DraftMaker what it needs, or add the reason to {nameof(NeverSucceeds)}");
        wrong.ShouldBeEmpty(string.Join(Environment.NewLine + Environment.NewLine, wrong));
    }

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
