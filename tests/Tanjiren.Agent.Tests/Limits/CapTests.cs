using System.Globalization;
using System.Text.RegularExpressions;
using Tanjiren.Agent.Limits.Linux;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Limits;

/// <summary>Acceptance 3: caps on real processes, held by accounting, because the tests' machines give no cgroup. What ends and what does not.</summary>
public sealed partial class CapTests : IAsyncLifetime
{
    private const int CapMb = 128;

    private readonly TemporaryDirectory directory = new();
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
    }

    public async ValueTask DisposeAsync()
    {
        await agent.DisposeAsync();
        await server.DisposeAsync();
        directory.Dispose();
    }

    [Theory]
    [InlineData(CapMb, null, "limits.memoryMb of this machine's agent.yaml")]
    [InlineData(4096, CapMb, "the job's own resources.memoryMb")]
    public async Task A_memory_hog_that_forks_dies_with_all_its_children_within_two_seconds_of_crossing_its_cap(int machine, int? own, string whose)
    {
        Prerequisite.Program("perl");
        agent.Settings = new AgentSettings { Limits = new LimitSettings { MemoryMb = machine } };
        await agent.StartAsync();
        var ledger = directory.File("ledger");

        var step = server.Shell(Hogs.Memory(ledger), new ResourceSpec { MemoryMb = own });
        await Eventually.TrueAsync(() => step.Result is not null, () => step.Output());

        (step.Result!.Outcome, step.Result.Reason, step.Result.Signal).ShouldBe((StepOutcome.Failed, StepReason.ResourceExceeded, "SIGKILL"), step.Result.Detail);
        var words = Detail().Match(step.Result.Detail!);
        words.Success.ShouldBeTrue(step.Result.Detail);
        int.Parse(words.Groups["cap"].ValueSpan, CultureInfo.InvariantCulture).ShouldBe(CapMb);
        int.Parse(words.Groups["used"].ValueSpan, CultureInfo.InvariantCulture).ShouldBeGreaterThan(CapMb);
        step.Result.Detail!.ShouldContain(whose);

        var lines = Hogs.Read(ledger);
        var pids = lines.Select(l => l.Pid).Distinct().ToList();
        pids.Count.ShouldBe(4);
        pids.Where(Hogs.IsAlive).ShouldBeEmpty();
        // The last sign of life of any of them, by its own word.
        if (Hogs.CrossedAt(lines, CapMb) is { } crossed) (lines.Max(l => l.At) - crossed).ShouldBeLessThan(2000);
    }

    [Fact]
    public async Task Memory_that_processes_share_counts_once()
    {
        Prerequisite.Program("perl");
        await agent.StartAsync();
        var step = server.Shell(Hogs.Sharing, new ResourceSpec { MemoryMb = 160 });
        await Eventually.TrueAsync(() => step.Result is not null, () => step.Output());
        (step.Result!.Outcome, step.Output()).ShouldBe((StepOutcome.Succeeded, "shared\n"), step.Result.Detail);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" escape")]
    public async Task Two_threads_under_one_core_get_one_core(string escape)
    {
        Prerequisite.Require(Affinity.Of(0).Count > 1, "more than one processor");
        var spin = await Hogs.TwoThreadsAsync(directory.Path);
        agent.Settings = new AgentSettings { Limits = new LimitSettings { Cpu = 1 } };
        await agent.StartAsync();

        var step = server.Shell($"exec {spin} 5{escape}");
        await Eventually.TrueAsync(() => step.Result is not null, () => step.Output());

        step.Result!.Outcome.ShouldBe(StepOutcome.Succeeded, step.Output());
        if (step.Output().Trim().Split(' ').Select(word => int.Parse(word, CultureInfo.InvariantCulture)).ToList() is not [var cpu, var wall, var seen, var allowed])
            throw new InvalidOperationException($"The hog says '{step.Output()}'.");
        wall.ShouldBeGreaterThanOrEqualTo(5000);
        cpu.ShouldBeGreaterThan(0);
        // One that breaks out has both processors until the next look.
        ((double)cpu / wall).ShouldBeLessThan(escape.Length == 0 ? 1.02 : 1.2);
        // On a busy machine two threads get no more than that anyway; where they ran tells it there too.
        allowed.ShouldBe(1);
        if (escape.Length == 0) seen.ShouldBe(1);
    }

    [Fact]
    public async Task A_job_is_within_its_processors_from_its_first_instruction_and_one_without_a_cap_is_anywhere()
    {
        Prerequisite.Require(Affinity.Of(0).Count > 1, "more than one processor");
        await agent.StartAsync();
        var capped = server.Shell("grep Cpus_allowed_list /proc/self/status", new ResourceSpec { Cpu = 0.5 });
        var free = server.Shell("grep Cpus_allowed_list /proc/self/status");
        await Eventually.TrueAsync(() => capped.Result is not null && free.Result is not null);
        capped.Output().ShouldMatch(@"^Cpus_allowed_list:\s+\d+\n$");
        free.Output().ShouldNotBe(capped.Output());
        free.Output().ShouldMatch(@"\d+[-,]\d+");
    }

    [GeneratedRegex("used (?<used>[0-9]+) MiB, cap (?<cap>[0-9]+) MiB", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Detail();
}
