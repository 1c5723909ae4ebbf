using Tanjiren.Agent.Limits;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.Limits;

public sealed class JobCapsTests
{
    [Theory]
    // machine, job -> cap, whose
    [InlineData(null, null, null, false)]
    [InlineData(1000, null, 1000, false)]
    [InlineData(null, 500, 500, true)]
    [InlineData(1000, 500, 500, true)]
    [InlineData(500, 1000, 500, false)]
    [InlineData(500, 500, 500, false)]
    public void The_lower_of_the_machines_cap_and_the_jobs_own_need_holds(int? machine, int? job, int? cap, bool own)
    {
        var caps = JobCaps.Of(new LimitSettings { MemoryMb = machine, Cpu = machine }, new ResourceSpec { MemoryMb = job, Cpu = job });
        (caps.MemoryMb, caps.Cpu, caps.MemoryIsOwn).ShouldBe((cap, (double?)cap, own));
    }

    [Fact]
    public void A_job_that_says_nothing_has_the_machines_caps() => JobCaps.Of(new LimitSettings { MemoryMb = 100 }, null).MemoryBytes.ShouldBe(100L << 20);

    [Fact]
    public void Over_it_both_numbers_are_named() =>
        new JobCaps(null, 512, MemoryIsOwn: true).OverMemory((700L << 20) + 1).ShouldBe("Over its memory cap: used 701 MiB, cap 512 MiB (the job's own resources.memoryMb).");

    [Theory]
    [InlineData(2000, null, null, "resources.memoryMb 2000, and limits.memoryMb of this machine's agent.yaml is 1000")]
    [InlineData(null, 2.5, null, "resources.cpu 2.5, and limits.cpu of this machine's agent.yaml is 2")]
    [InlineData(null, null, 3, "resources.gpuCount 3, and this machine gives jobs 1")]
    [InlineData(1000, 2.0, 1, null)]
    public void What_can_never_be_given_is_refused(int? memory, double? cpu, int? gpus, string? words)
    {
        var refusal = JobCaps.Refusal(new LimitSettings { MemoryMb = 1000, Cpu = 2 }, new ResourceSpec { MemoryMb = memory, Cpu = cpu, GpuCount = gpus }, devices: 1);
        if (words is null) refusal.ShouldBeNull();
        else refusal!.ShouldContain(words);
    }
}
