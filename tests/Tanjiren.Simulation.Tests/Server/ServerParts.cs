using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Records;
using Tanjiren.Server.Schedules;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Workstations;
using Tanjiren.Server.Workstations.Sessions;

namespace Tanjiren.Simulation.Tests.Server;

/// <summary>The product's own services, as its features register them, over a database and a clock of ours; without Kestrel, and with no loop running by itself.</summary>
internal static class ServerParts
{
    private static readonly IConfiguration Settings = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
    {
        ["Tanjiren:Leases:TtlSeconds"] = "10",
        ["Tanjiren:Leases:GraceSeconds"] = "10",
        ["Tanjiren:Leases:DeadlineSlackSeconds"] = "3",
    }).Build();

    public static ServiceProvider Build(Database database, TimeProvider clock, World world)
    {
        var services = new ServiceCollection();
        services.AddSingleton(Settings).AddSingleton(clock).AddSingleton(database).AddMetrics();
        services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Warning).AddProvider(new Complaints(world)));
        services.AddFeatureOptions<HostingOptions>("Hosting");
        services.AddSingleton<Idempotency>().AddSingleton<WakeUps>().AddSingleton<Counters>();
        services.AddGovernance().AddWorkstations().AddSessions().AddTasks().AddSchedules().AddAudit().AddRecords();
        return services.BuildServiceProvider();
    }

    /// <summary>A warning is a loop or a request that failed: the simulation gives the server no reason for one.</summary>
    private sealed class Complaints(World world) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;
        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            world.Fail($"the server complains: {formatter(state, exception)} {exception}");

        public void Dispose()
        {
        }
    }
}
