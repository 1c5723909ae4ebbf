using System.Text;
using Tanjiren.Agent.Execution.Linux;

namespace Tanjiren.Agent.Execution;

/// <summary>The watchdog could not be told, and is being killed: start no process on the strength of it.</summary>
internal sealed class WatchdogLostException(string message) : Exception(message);

/// <summary>
/// The agent's side of one watchdog process. When it dies, <see cref="Died"/> completes; the agent then starts another one and tells it everything
/// again, and claims nothing until then.
/// <para>A message that has been written is known: the pipe keeps it for the watchdog even if the agent dies in the next instant.</para>
/// </summary>
internal sealed partial class WatchdogClient : IAsyncDisposable
{
    private readonly WatchdogProcess _process;
    private readonly ExecutionOptions _options;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _died = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _failed;
    private volatile bool _stopping;

    private WatchdogClient(WatchdogProcess process, ExecutionOptions options, TimeProvider clock, ILogger logger)
    {
        _process = process;
        _options = options;
        _clock = clock;
        _logger = logger;
    }

    public int Pid => _process.Pid;

    /// <summary>Whether it has said that it is ready and neither ended nor fallen silent since.</summary>
    public bool IsAlive => _ready.Task.IsCompletedSuccessfully && !_failed && !_died.Task.IsCompleted;

    /// <summary>Completes when the process has ended, also after <see cref="DisposeAsync"/>.</summary>
    public Task Died => _died.Task;

    /// <summary>Starts the process and waits until it is ready.</summary>
    /// <exception cref="SpawnFailedException">It could not be started.</exception>
    /// <exception cref="WatchdogLostException">It ended at once, or was not ready in time.</exception>
    public static async Task<WatchdogClient> StartAsync(IReadOnlyList<string> command, ExecutionOptions options, TimeProvider clock,
        ILogger logger, CancellationToken cancellationToken)
    {
        var client = new WatchdogClient(WatchdogProcess.Start(command), options, clock, logger);
        new Thread(client.Listen, maxStackSize: 256 * 1024) { IsBackground = true, Name = "watchdog" }.Start();
        try
        {
            if (OperatingSystem.IsLinux() && ProcTable.TryRead(Environment.ProcessId, out var agent))
                _ = client.TryTell(WatchdogMessage.Agent(agent.Pid, agent.StartTime));
            await client._ready.Task.WaitAsync(options.WatchdogStart, clock, cancellationToken);
            LogStarted(logger, client.Pid);
            return client;
        }
        catch (Exception e)
        {
            client._process.Kill();
            await client.DisposeAsync();
            if (e is TimeoutException) throw new WatchdogLostException($"The watchdog '{string.Join(' ', command)}' was not ready within {options.WatchdogStart.TotalSeconds} s.");
            throw;
        }
    }

    /// <summary>Before the spawn: from here on the tree dies with the agent, and at the deadline (on <see cref="BootClock"/>).</summary>
    /// <exception cref="WatchdogLostException">It does not know of the step.</exception>
    public void Watch(string stepId, ulong mark, long deadlineBootMs)
    {
        if (!TryTell(WatchdogMessage.Watch(stepId, mark, deadlineBootMs)))
            throw new WatchdogLostException($"The watchdog (process {Pid}) could not be told to watch {stepId}.");
    }

    /// <summary>After the spawn: helps it where processes carry no mark.</summary>
    public void Root(string stepId, int pid, long startTime) => _ = TryTell(WatchdogMessage.Root(stepId, pid, startTime));

    /// <summary>The lease was renewed. A lost watchdog is no error here: the tree then lives under the older, earlier deadline or under its successor's.</summary>
    public void Extend(string stepId, long deadlineBootMs) => _ = TryTell(WatchdogMessage.Extend(stepId, deadlineBootMs));

    /// <summary>Its tree is dead.</summary>
    public void Forget(string stepId) => _ = TryTell(WatchdogMessage.Forget(stepId));

    /// <summary>Ends its input: it kills what it still watches and goes. One that still has to kill is left to it.</summary>
    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        _process.CloseInput();
        try
        {
            await _died.Task.WaitAsync(_options.WatchdogStop, _clock);
            _process.Dispose();
        }
        catch (TimeoutException)
        {
            LogStillKilling(_logger, Pid);
        }
    }

    private bool TryTell(string line)
    {
        if (_failed || _stopping || _died.Task.IsCompleted) return false;
        if (_process.TryWrite(Encoding.ASCII.GetBytes(line + "\n"), _options.WatchdogWrite)) return true;
        Fail("it does not read");
        return false;
    }

    /// <summary>Its own thread: hears the answers, asks for them, and notices the end.</summary>
    private void Listen()
    {
        var buffer = new byte[WatchdogMessage.MaxLength];
        // Silence is counted in readings and not by a clock: an agent that was stopped for a minute has not listened for a minute.
        var interval = _options.WatchdogPing / 5;
        var silentReadings = 0;
        int count;
        while ((count = _process.Read(buffer, (int)interval.TotalMilliseconds)) != 0)
        {
            // The first thing it says is that it is ready; what it says later only shows that it lives.
            if (count > 0) _ = _ready.TrySetResult();
            silentReadings = count > 0 ? 0 : silentReadings + 1;
            if (_stopping || _failed || !_ready.Task.IsCompleted) continue;
            if (silentReadings * interval > _options.WatchdogSilence) Fail("it has fallen silent");
            else if (silentReadings % 5 == 4) _ = TryTell(WatchdogMessage.Ping);
        }
        if (!_stopping && !_failed) LogDied(_logger, Pid);
        _process.Reap();
        _ = _ready.TrySetException(new WatchdogLostException("The watchdog ended before it was ready."));
        _ = _died.TrySetResult();
    }

    /// <summary>A watchdog that cannot be relied upon is none: it is killed, so that its end is noticed in the one place.</summary>
    private void Fail(string reason)
    {
        if (_failed) return;
        _failed = true;
        if (!_stopping) LogLost(_logger, Pid, reason);
        _process.Kill();
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "Watchdog started as process {Pid}")]
    private static partial void LogStarted(ILogger logger, int pid);

    [LoggerMessage(Level = LogLevel.Error, Message = "The watchdog (process {Pid}) died; nothing is claimed until another one runs")]
    private static partial void LogDied(ILogger logger, int pid);

    [LoggerMessage(Level = LogLevel.Error, Message = "The watchdog (process {Pid}) is given up: {Reason}; nothing is claimed until another one runs")]
    private static partial void LogLost(ILogger logger, int pid, string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The watchdog (process {Pid}) still has processes to kill; it goes when they are dead")]
    private static partial void LogStillKilling(ILogger logger, int pid);
}
