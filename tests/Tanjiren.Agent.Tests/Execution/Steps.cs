using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Execution.Linux;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Execution;

/// <summary>A real step's process, run on its own thread as the agent does, with its output collected. Kills its tree when the test ends.</summary>
internal sealed class RunningStep : IDisposable
{
    private readonly MemoryStream _out = new();
    private readonly MemoryStream _error = new();
    private readonly ILaunchedProcess _process;
    private int _ticks;

    private RunningStep(LaunchRequest request, ExecutionOptions options)
    {
        StepId = request.StepId;
        Mark = request.Mark;
        _process = ProcessLaunchers.ForThisMachine(options, NullLoggerFactory.Instance).Launch(request);
        Tree = new ProcessTree(Mark, _process.Pid, StepId, _process.StartTime, options);
        Exit = Task.Factory.StartNew(() => _process.Run(Take, () => Interlocked.Increment(ref _ticks)), TaskCreationOptions.LongRunning);
    }

    public string StepId { get; }
    public ulong Mark { get; }
    public ProcessTree Tree { get; }
    public Task<ProcessExit> Exit { get; }
    public int Pid => _process.Pid;
    public long StartTime => _process.StartTime;
    public int Ticks => Volatile.Read(ref _ticks);

    public byte[] OutBytes { get { lock (_out) return _out.ToArray(); } }
    public string Out => Encoding.UTF8.GetString(OutBytes);
    public string Error { get { lock (_out) return Encoding.UTF8.GetString(_error.ToArray()); } }

    public static RunningStep Start(params string[] argv) => Start(Request(argv), ExecutionOptions.Default);

    public static RunningStep Start(LaunchRequest request, ExecutionOptions options) => new(request, options);

    public static LaunchRequest Request(params string[] argv)
    {
        var stepId = "step_" + Guid.NewGuid().ToString("N");
        return new LaunchRequest
        {
            StepId = stepId, Mark = ProcessMarks.New(), Argv = argv, Environment = JobEnvironment.Build(stepId, "task_1", 1, null, null),
        };
    }

    public void Dispose()
    {
        _ = Tree.KillAsync(TimeSpan.Zero, CancellationToken.None).GetAwaiter().GetResult();
        _ = Exit.ContinueWith(_ => { }, TaskScheduler.Default).Wait(TimeSpan.FromSeconds(30));
        _process.Dispose();
    }

    private void Take(LogStream stream, ReadOnlySpan<byte> data)
    {
        lock (_out) (stream == LogStream.Stdout ? _out : _error).Write(data);
    }
}

/// <summary>Programs that try to get away.</summary>
internal static class Fugitive
{
    /// <summary>
    /// Double-forks, calls setsid, ignores SIGTERM, clears its environment with an exec, and then prints "free PID": nothing but the mark leads to it.
    /// The root goes on until it is killed.
    /// </summary>
    public static string[] Daemon(string rootThen = "sleep 600") =>
    [
        "perl", "-e",
        """
        use POSIX; $| = 1;
        if (fork() == 0) {
            POSIX::setsid();
            if (fork() == 0) {
                $SIG{TERM} = 'IGNORE'; %ENV = ();
                exec '/usr/bin/perl', '-e', '$| = 1; print "free $$\n"; sleep 600 while 1';
            }
            POSIX::_exit(0);
        }
        wait;
        """ + rootThen + ";",
    ];

    public static int PidIn(string output) => int.Parse(
        output.Split('\n').First(l => l.StartsWith("free ", StringComparison.Ordinal)).AsSpan(5), CultureInfo.InvariantCulture);

    /// <summary>Waits for the daemon and returns its pid with its start time.</summary>
    public static async Task<(int Pid, long StartTime)> FreeAsync(Func<string> output)
    {
        await Eventually.TrueAsync(() => output().Contains("free ", StringComparison.Ordinal) && output().EndsWith('\n'), what: "the daemon runs");
        var pid = PidIn(output());
        ProcTable.TryRead(pid, out var entry).ShouldBeTrue();
        return (pid, entry.StartTime);
    }
}
