using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Console;

namespace Tanjiren.Cli.Hosting;

/// <summary>Logging of what this process hosts: to standard error only, for standard output belongs to jobs and to <c>--json</c>.</summary>
internal static class HostLogging
{
    public static Action<ILoggingBuilder> ToStandardError(LogLevel level) => logging =>
    {
        logging.SetMinimumLevel(level);
        if (level >= LogLevel.Information) logging.AddFilter("Microsoft", LogLevel.Warning);
        logging.AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "HH:mm:ss.fff ";
            console.UseUtcTimestamp = true;
        });
        logging.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
    };

    /// <summary>The same, and the host leaves SIGINT and SIGTERM to us: its own handler would stop the server before the agent has drained.</summary>
    public static Action<ILoggingBuilder> ForControlPlane(LogLevel level) => logging =>
    {
        ToStandardError(level)(logging);
        logging.Services.AddSingleton<IHostLifetime, NoLifetime>();
    };

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;
        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
