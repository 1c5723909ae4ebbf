using Tanjiren.Agent.Limits;

namespace Tanjiren.Agent.Tests.Limits;

public sealed class ProcessorSharesTests
{
    [Fact]
    public void Jobs_spread_over_the_processors_and_come_back_to_those_that_are_free()
    {
        var shares = new ProcessorShares([2, 3, 6, 7]);
        var first = shares.Take(1)!;
        first.ShouldBe([2]);
        shares.Take(2)!.ShouldBe([3, 6]);
        shares.Take(0.5)!.ShouldBe([7]);
        shares.Return(first);
        shares.Take(1.5)!.ShouldBe([2, 3]);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(1.5)]
    [InlineData(2.0)]
    [InlineData(64.0)]
    public void A_cap_of_all_processors_is_none(double? cap) => new ProcessorShares([0, 1]).Take(cap).ShouldBeNull();

    [Fact]
    public void Where_the_processors_are_not_known_nothing_is_held() => new ProcessorShares([]).Take(1).ShouldBeNull();
}
