using System.Globalization;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Tests.CodingAgents;

namespace Tanjiren.Agent.Tests.Execution;

/// <summary>
/// This test program as another process: a watchdog, a coding agent, or an agent that a test may kill or stop. It runs before the test runner's entry point. Nothing here
/// may run on a second thread: the module's initializer holds the module's lock.
/// </summary>
internal static class TestHost
{
    private const string Switch = "tanjiren-test-host";

    public static IReadOnlyList<string> Command(params string[] arguments)
    {
        var program = Path.Join(AppContext.BaseDirectory, typeof(TestHost).Assembly.GetName().Name);
        return File.Exists(program) ? [program, Switch, .. arguments] : ["dotnet", program + ".dll", Switch, .. arguments];
    }

    public static IReadOnlyList<string> Watchdog { get; } = Command("watchdog");

    /// <summary>An agent with one step: <c>agent STEP MARK DEADLINE-MS ARGV…</c>; no watchdog when the deadline is "none". Prints "watchdog PID" and "root PID", then the step's output.</summary>
    public static IReadOnlyList<string> Agent(string stepId, ulong mark, string deadlineMs, params string[] argv) =>
        Command(["agent", stepId, mark.ToString(CultureInfo.InvariantCulture), deadlineMs, .. argv]);

    /// <summary>Kills the tree of a mark and prints the report: <c>kill MARK</c>.</summary>
    public static IReadOnlyList<string> Kill(ulong mark, params string[] before) => [.. before, .. Command("kill", mark.ToString(CultureInfo.InvariantCulture))];

#pragma warning disable CA2255 // The initializer is the point: the same program must be able to be something else than a test runner.
    [ModuleInitializer]
#pragma warning restore CA2255
    internal static void RunInstead()
    {
        var arguments = Environment.GetCommandLineArgs();
        if (arguments.Length < 3 || arguments[1] != Switch) return;
        Environment.Exit(arguments[2] switch
        {
            "watchdog" => Tanjiren.Agent.Execution.Watchdog.Main(Console.OpenStandardInput(), Console.Error),
            "acp" => FakeAcpAgent.Run(arguments[3]),
            "kill" => KillNow(ulong.Parse(arguments[3], CultureInfo.InvariantCulture)),
            _ => RunAgent(arguments[3], ulong.Parse(arguments[4], CultureInfo.InvariantCulture), arguments[5], arguments[6..]),
        });
    }

    private static int KillNow(ulong mark)
    {
        Console.WriteLine(new ProcessTree(mark, 0, "").KillAsync(TimeSpan.Zero, CancellationToken.None).GetAwaiter().GetResult());
        return 0;
    }

    private static int RunAgent(string stepId, ulong mark, string deadlineMs, string[] argv)
    {
        if (deadlineMs != "none")
        {
            var client = WatchdogClient.StartAsync(Watchdog, ExecutionOptions.Default, TimeProvider.System, NullLogger.Instance, default).GetAwaiter().GetResult();
            client.Watch(stepId, mark, BootClock.NowMs + long.Parse(deadlineMs, CultureInfo.InvariantCulture));
            Console.WriteLine($"watchdog {client.Pid}");
        }
        var launcher = ProcessLaunchers.ForThisMachine(ExecutionOptions.Default, NullLoggerFactory.Instance);
        using var process = launcher.Launch(new LaunchRequest
        {
            StepId = stepId, Mark = mark, Argv = argv, Environment = JobEnvironment.Build(stepId, "task_1", 1, null, null),
        });
        Console.WriteLine($"root {process.Pid}");
        var output = Console.OpenStandardOutput();
        return process.Run((_, data) => { output.Write(data); output.Flush(); }, () => { }).ExitCode ?? 99;
    }
}
