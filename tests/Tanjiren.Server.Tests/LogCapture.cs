using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Tanjiren.Server.Tests;

/// <summary>What the server logged, one line each.</summary>
internal sealed class LogCapture : ILoggerProvider
{
    private readonly ConcurrentQueue<string> _lines = new();

    public IReadOnlyCollection<string> Lines => _lines;

    public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName);

    public void Dispose()
    {
    }

    private sealed class Logger(LogCapture owner, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            var line = $"{logLevel} {category}: {formatter(state, exception)} {exception}";
            owner._lines.Enqueue(line);
            // Requests run outside of any test context, so this goes to the program's own output: a failure shows what the server thought of it.
            if (logLevel >= LogLevel.Warning) Console.Error.WriteLine(line);
        }
    }
}
