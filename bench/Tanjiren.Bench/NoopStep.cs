using System.Diagnostics;
using Tanjiren.Protocol;

namespace Tanjiren.Bench;

/// <summary>A step of which only the record counts: its command is never run.</summary>
internal static class NoopStep
{
    public static CreateTaskRequest On(string instance) => new()
    {
        Command = new CommandSpec { Argv = ["true"] },
        Targets = new TargetSpec { Workstations = [instance] },
    };

    public static string NewClaim() => Ids.New(Ids.Claim, TimeProvider.System);

    public static CompleteRequest Result(string step, long generation, int exitCode = 0)
    {
        var result = new CompleteRequest
        {
            LeaseGeneration = generation, Outcome = exitCode == 0 ? StepOutcome.Succeeded : StepOutcome.Failed, Reason = exitCode == 0 ? null : StepReason.ExitCode,
            ExitCode = exitCode, DurationMs = 1, FinalLogSeq = 0,
        };
        return result with { ResultDigest = ResultDigest.Compute(step, result) };
    }
}

/// <summary>Workers that take one item after another until none is left.</summary>
internal static class SharedWork
{
    public static async Task<double> PerSecondAsync(int items, int workers, Func<int, Task> one)
    {
        var left = items;
        var from = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, workers).Select(worker => Task.Run(async () =>
        {
            while (Interlocked.Decrement(ref left) >= 0) await one(worker);
        })));
        return items / Stopwatch.GetElapsedTime(from).TotalSeconds;
    }
}
