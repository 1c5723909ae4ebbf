using Tanjiren.Protocol;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tests.Workstations;

public sealed class WorkerRulesTests
{
    private static readonly WorkerState Well = new() { Online = true, Trusted = true, SignedOut = false, Draining = false, Active = 0, MaxConcurrent = 10, Silent = TimeSpan.Zero };

    /// <summary>Every deduction of W-10 alone, and each beside all others; the score never leaves 0 to 100.</summary>
    [Theory]
    [InlineData(100, true, true, 0, 0)]
    [InlineData(40, false, true, 0, 0)]
    [InlineData(80, true, false, 0, 0)]
    [InlineData(85, true, true, 1, 0)]
    [InlineData(85, true, true, 2, 0)]
    [InlineData(80, true, true, 3, 0)]
    [InlineData(70, true, true, 5, 0)]
    [InlineData(65, true, true, 6, 0)]
    [InlineData(65, true, true, 100, 0)]
    [InlineData(100, true, true, 0, 600)]
    [InlineData(85, true, true, 0, 601)]
    [InlineData(85, true, true, 0, null)]
    [InlineData(25, false, true, 0, 601)]
    [InlineData(20, false, true, 100, 0)]
    [InlineData(0, false, false, 100, 601)]
    public void Health_is_100_less_what_is_wrong(int health, bool online, bool trusted, int active, int? silentSeconds) =>
        WorkerRules.Health(Well with { Online = online, Trusted = trusted, Active = active, Silent = silentSeconds is { } s ? TimeSpan.FromSeconds(s) : null }).ShouldBe(health);

    [Fact]
    public void Readiness_names_everything_that_blocks_and_nothing_else()
    {
        WorkerRules.Unready(Well).ShouldBeEmpty();
        WorkerRules.Unready(Well with { Active = 9 }).ShouldBeEmpty("a busy worker takes more");
        WorkerRules.Unready(Well with { Active = 10 }).ShouldBe([WaitReason.AtCapacity]);
        WorkerRules.Unready(Well with { Online = false }).ShouldBe([WaitReason.Offline]);
        WorkerRules.Unready(Well with { Trusted = false }).ShouldBe([WaitReason.Untrusted]);
        WorkerRules.Unready(Well with { SignedOut = true }).ShouldBe([WaitReason.SignedOut]);
        WorkerRules.Unready(Well with { Draining = true }).ShouldBe([WaitReason.Draining]);
        WorkerRules.Unready(Well with { Online = false, Trusted = false, SignedOut = true, Draining = true, MaxConcurrent = 0 })
            .ShouldBe([WaitReason.Offline, WaitReason.Untrusted, WaitReason.SignedOut, WaitReason.AtCapacity, WaitReason.Draining]);
    }

    [Fact]
    public void Status_is_offline_before_busy_before_ready()
    {
        WorkerRules.Status(Well).ShouldBe(WorkerStatus.Ready);
        WorkerRules.Status(Well with { Active = 1 }).ShouldBe(WorkerStatus.Busy);
        WorkerRules.Status(Well with { Active = 1, Online = false }).ShouldBe(WorkerStatus.Offline);
        WorkerRules.Status(Well with { Draining = true }).ShouldBe(WorkerStatus.Ready, "that it drains is its readiness");
    }

    /// <summary>Sorted from any order they come out in this one.</summary>
    [Fact]
    public void Ready_goes_before_healthier_before_who_answers_before_less_loaded_before_older()
    {
        WorkerRank[] order =
        [
            WorkerRules.Rank(Well, "ws_c"),
            WorkerRules.Rank(Well, "ws_d"),
            WorkerRules.Rank(Well with { MissedWakes = 1 }, "ws_9"),
            WorkerRules.Rank(Well with { MissedWakes = 2 }, "ws_8"),
            WorkerRules.Rank(Well with { Active = 1, MaxConcurrent = 4 }, "ws_b"),
            WorkerRules.Rank(Well with { Active = 2, MaxConcurrent = 4 }, "ws_a"),
            WorkerRules.Rank(Well with { Active = 3, MaxConcurrent = 100 }, "ws_0"),
            WorkerRules.Rank(Well with { Draining = true }, "ws_1"),
            WorkerRules.Rank(Well with { Online = false }, "ws_2"),
        ];
        for (var seed = 0; seed < 50; seed++)
        {
            var shuffled = order.ToArray();
            new Random(seed).Shuffle(shuffled);
            shuffled.Order(WorkerRank.FirstAsked).ShouldBe(order);
        }
    }
}
