using System.Runtime.CompilerServices;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Protocol;
using Tanjiren.Server.Data.Postgres;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

/// <summary><c>/api/status</c> shows everything that works in the background.</summary>
public sealed class StatusTests
{
    /// <summary>Hosted services that have done their work when the server has started: nothing of them runs on.</summary>
    private static readonly Type[] AtStartOnly = [typeof(ServerStart), typeof(SetupAnnouncement), typeof(StatusMetrics)];

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Every_hosted_service_that_works_on_is_listed(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var written = typeof(ControlPlane).Assembly.GetTypes().Where(t => !t.IsAbstract && (t.IsAssignableTo(typeof(IHostedService)) || t.IsAssignableTo(typeof(ILoop))))
            .Except(kind == DatabaseKind.Sqlite ? [typeof(PostgresWakeUps)] : []).ToList();
        var hosted = server.App.Services.GetServices<IHostedService>().Where(s => written.Contains(s.GetType())).ToList();
        hosted.Select(s => s.GetType()).ShouldBe(written, ignoreOrder: true);

        foreach (var service in hosted.Where(s => s is not ILoop)) AtStartOnly.ShouldContain(service.GetType(), $"{service.GetType().Name} is in no list of /api/status");
        var status = await server.Client.GetBodyAsync<StatusBody>("/api/status");
        status.Loops.Select(l => l.Name).ShouldBe([.. hosted.OfType<ILoop>().Select(l => l.Record.Name), "requests"], ignoreOrder: true);
        var page = await File.ReadAllTextAsync(Page(), TestContext.Current.CancellationToken);
        foreach (var loop in status.Loops) page.ShouldContain($"\n| `{loop.Name}` | ");
    }

    [Fact]
    public async Task A_loop_tells_when_it_ran_how_long_what_failed_and_when_it_runs_next()
    {
        var clock = new ManualTimeProvider();
        using var loop = new FailingLoop(clock);
        await loop.StartAsync(TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(() => loop.Record.Status().Runs == 1);
        var first = loop.Record.Status();
        (first.LastDurationMs, first.Errors, first.LastError).ShouldBe((250, 0, null));
        first.LastRunAt.ShouldBe(clock.GetUtcNow());
        first.NextRunAt.ShouldBe(clock.GetUtcNow().AddMilliseconds(-250) + TimeSpan.FromMinutes(1));

        loop.Fails = true;
        clock.Advance(TimeSpan.FromMinutes(1));
        await Eventually.TrueAsync(() => loop.Record.Status().Errors == 1);
        var second = loop.Record.Status();
        (second.Runs, second.LastError, second.LastRunAt).ShouldBe((1, "broken", first.LastRunAt));
        loop.Record.ErrorTypes().ShouldBe(new Dictionary<string, long> { ["System.InvalidOperationException"] = 1 });
        await loop.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task After_a_lost_connection_the_wake_ups_wait_again_and_owe_no_run()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Postgres);
        var cancelled = TestContext.Current.CancellationToken;
        var record = server.App.Services.GetServices<IHostedService>().OfType<PostgresWakeUps>().Single().Record;
        Task<long> ListenersAsync(string what) => server.Database.ReadAsync(sql => sql.FirstAsync<long>(
            $"SELECT count({what}) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"), cancelled);
        await Eventually.TrueAsync(async () => await ListenersAsync("*") == 1, what: "it listens");

        await ListenersAsync("pg_terminate_backend(pid)");

        await Eventually.TrueAsync(() => record.Status().Errors > 0, what: "the loss is noticed");
        await Eventually.TrueAsync(async () => await ListenersAsync("*") == 1 && record.Status().NextRunAt is null, what: "it listens again and is late for nothing");
    }

    private static string Page([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "..", "docs", "concepts", "observability.md");

    private sealed class FailingLoop(ManualTimeProvider clock) : PeriodicLoop("failing", clock, NullLogger.Instance)
    {
        public bool Fails { get; set; }

        protected override TimeSpan Interval => TimeSpan.FromMinutes(1);

        public override Task RunOnceAsync(CancellationToken cancellationToken)
        {
            clock.Advance(TimeSpan.FromMilliseconds(250));
            return Fails ? throw new InvalidOperationException("broken") : Task.CompletedTask;
        }
    }
}
