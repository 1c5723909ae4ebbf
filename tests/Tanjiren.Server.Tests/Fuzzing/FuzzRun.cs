using System.Text;
using Microsoft.Extensions.Logging;
using Tanjiren.Server.Secrets;
using Tanjiren.Server.Tests.Secrets;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Fuzzing;

/// <summary>
/// One run: a server, a few clients at once, each with a cast of its own, the tally and what was found wrong. The seed decides every choice of every client.
/// Set <c>TANJIREN_FUZZ_SEED</c> to repeat a run, <c>TANJIREN_FUZZ_CASES</c> to make it longer or shorter.
/// </summary>
internal sealed class FuzzRun(ServerFixture server, ErrorLog log, int seed)
{
    private const int Clients = 4;
    private const int MostFailures = 12;

    private readonly Dictionary<string, string> _failures = [];
    private readonly Lock _gate = new();

    public FuzzTally Tally { get; } = new();

    public OtherOrganization Other { get; private set; } = null!;

    public IReadOnlyList<string> Failures
    {
        get { lock (_gate) return [.. _failures.Values, .. log.Lines.Select(l => "the server logged an error: " + l)]; }
    }

    public static int Seed { get; } = int.TryParse(Environment.GetEnvironmentVariable("TANJIREN_FUZZ_SEED"), out var seed) ? seed : Random.Shared.Next(1_000_000);

    public static int CasesOr(int standard) => int.TryParse(Environment.GetEnvironmentVariable("TANJIREN_FUZZ_CASES"), out var cases) ? cases : standard;

    /// <summary>Nothing is limited per address: all come from one. What is limited per account and code stays. A spent refresh token is soon a reuse.</summary>
    public static Dictionary<string, string?> Settings { get; } = new()
    {
        ["Tanjiren:Identity:LoginsPerAddress"] = "10000", ["Tanjiren:Identity:LoginWindowSeconds"] = "1",
        ["Tanjiren:DeviceTrust:PairingsPerAddress"] = "10000", ["Tanjiren:Invitations:TriesPerAddress"] = "10000",
        ["Tanjiren:OAuth:RequestsPerAddress"] = "10000", ["Tanjiren:OAuth:UserCodeTries"] = "10000", ["Tanjiren:OAuth:RefreshLeewaySeconds"] = "1",
        [SecretsKey.Setting] = KeyFile.At(Path.Combine(AppContext.BaseDirectory, "fuzz.secrets-key")),
    };

    public static async Task<(ServerFixture Server, ErrorLog Log)> StartServerAsync(DatabaseKind kind)
    {
        var log = new ErrorLog();
        return (await ServerFixture.StartAsync(kind, o => o with { Settings = Settings, ConfigureLogging = logging => logging.AddProvider(log) }), log);
    }

    /// <summary>Runs the cases; <paramref name="ready"/> before the first, <paramref name="tenth"/> after each tenth of them; more tenths than ten while <paramref name="goesOn"/> says so.</summary>
    public async Task RunAsync(int cases, Func<Task> ready, Action tenth, Func<bool> goesOn)
    {
        var routes = await FuzzRoute.ReadAsync(server);
        Other = await OtherOrganization.CreateAsync(server);
        var casts = await Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => Cast.CreateAsync(server)));
        var clients = casts.Select((cast, number) => new FuzzLane(server, cast, Other, routes, seed, number)).ToArray();
        async Task PlayAsync(int from, int to) => await Task.WhenAll(clients.Select(client => Task.Run(async () =>
        {
            for (var number = from; number < to && _failures.Count < MostFailures; number++)
            {
                // The first of each kind: one defect on a busy route would otherwise hide the others.
                if (await client.PlayAsync(number, Tally) is var (kind, failure)) lock (_gate) _failures.TryAdd(kind, failure);
            }
        })));
        await ready();
        // Of few cases chance may leave a route without one that grants: those get up to four times as many.
        for (var part = 0; part < 10 || (part < 40 && goesOn()); part++)
        {
            await PlayAsync(cases / Clients * part / 10, cases / Clients * (part + 1) / 10);
            tenth();
        }
        foreach (var client in clients) client.Dispose();
    }
}

/// <summary>One client of a run.</summary>
internal sealed class FuzzLane(ServerFixture server, Cast cast, OtherOrganization other, IReadOnlyList<FuzzRoute> routes, int seed, int lane) : IDisposable
{
    /// <summary>Of so many cases on a costly route that has granted something one is played; the others create a task, which has the largest body.</summary>
    private const int CostlyShare = 8;

    private readonly FuzzClient _client = new(server);
    private readonly HashSet<string> _granted = [];
    private readonly Mutations _mutations = new(cast, other);
    private readonly Lessons _lessons = new(cast);

    /// <summary>One case. Null, or what kind of thing went wrong and all that is needed to see it.</summary>
    public async Task<(string Kind, string Report)?> PlayAsync(int number, FuzzTally tally)
    {
        try
        {
            return await PlayOneAsync(number, tally);
        }
        catch (Exception e) when (!TestContext.Current.CancellationToken.IsCancellationRequested)
        {
            return ("not played", $"seed {seed}, client {lane}, case {number} could not be played: {e}");
        }
    }

    public void Dispose()
    {
        _client.Dispose();
        cast.Dispose();
    }

    private async Task<(string Kind, string Report)?> PlayOneAsync(int number, FuzzTally tally)
    {
        var random = new Random(HashOf(seed, lane, number));
        var route = routes[random.Next(routes.Count)];
        if (route.IsCostly && _granted.Contains(route.Name) && random.Next(CostlyShare) != 0) route = routes.First(r => r.Name == "createTask");
        var draft = await new DraftMaker(cast, _client).MakeAsync(route, random);
        // Until a route has granted something, every second request of it stays valid: a rare one is then seen to work in a short run too.
        if (random.Next(2) == 0 || _granted.Contains(route.Name)) _mutations.Apply(draft, random);
        var answer = await _client.SendAsync(draft);
        if (answer.Status is >= 200 and < 300) _granted.Add(route.Name);
        tally.Add(draft, answer);
        var wrong = AnswerRules.Check(draft, answer, other);
        var failure = wrong is null ? ((string, string)?)null : ($"{route.Name} {answer.Status} {wrong[..Math.Min(wrong.Length, 40)]}", new StringBuilder()
            .AppendLine($"{route.Name}: {wrong}  (seed {seed}, client {lane}, case {number}; changes: {(draft.Changes.Count == 0 ? "none" : string.Join("; ", draft.Changes))})")
            .AppendLine(_client.Describe(draft))
            .AppendLine($"-> {answer.Status} {answer.MediaType} {(answer.Text.Length > 1500 ? answer.Text[..1500] + "…" : answer.Text)}")
            .Append($"repeat: TANJIREN_FUZZ_SEED={seed} PROJECTS=Server eng/test -class '*FuzzTests'").ToString());
        await _lessons.LearnAsync(draft, answer);
        return failure;
    }

    /// <summary>The same in every process, as <see cref="HashCode"/> is not.</summary>
    private static int HashOf(int a, int b, int c) => unchecked((int)(((uint)a * 2654435761u ^ (uint)b) * 2246822519u ^ (uint)c * 3266489917u));
}

/// <summary>Keeps the errors that a server logs, the first of them; the rest is counted nowhere, for a long run must not fill the memory that it measures.</summary>
internal sealed class ErrorLog : ILoggerProvider, ILogger
{
    private const int Kept = 20;

    private readonly List<string> _lines = [];

    public IReadOnlyList<string> Lines
    {
        get { lock (_lines) return [.. _lines]; }
    }

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Error;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (logLevel < LogLevel.Error) return;
        lock (_lines)
            if (_lines.Count < Kept) _lines.Add($"{formatter(state, exception)} {exception}");
    }

    public void Dispose()
    {
    }
}
