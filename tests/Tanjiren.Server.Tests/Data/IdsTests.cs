using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Data;

public sealed class IdsTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 22, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void What_is_made_later_in_a_millisecond_sorts_later()
    {
        // Three ticks are 0.3 µs, just over the 1/4096 ms that an id tells apart; ten thousand are the millisecond and lead into the next ones.
        var made = Enumerable.Range(0, 10_000).Select(i => Ids.New(Ids.Invitation, Noon.AddTicks(3 * i))).ToArray();

        made.ShouldBe(made.Order(StringComparer.Ordinal));
        made.ShouldAllBe(id => Ids.IsValid(id, Ids.Invitation));
    }

    [Fact]
    public void Ids_of_one_instant_differ()
    {
        Enumerable.Range(0, 10_000).Select(_ => Ids.New(Ids.Task, Noon)).Distinct().Count().ShouldBe(10_000);
    }

    [Theory]
    [InlineData(0, "01a20320-a200-7000")]
    [InlineData(5_000, "01a20320-a200-7800")]
    [InlineData(9_999, "01a20320-a200-7fff")]
    [InlineData(10_000, "01a20320-a201-7000")]
    public void The_digits_are_those_of_a_version_7_uuid(int ticks, string begin)
    {
        var id = Ids.New(Ids.Task, Noon.AddTicks(ticks).ToOffset(TimeSpan.FromHours(-5)))[Ids.Task.Length..];

        var value = id.Aggregate(UInt128.Zero, (sum, digit) => sum * 32 + (UInt128)"0123456789abcdefghjkmnpqrstvwxyz".IndexOf(digit));
        var uuid = Guid.ParseExact($"{(ulong)(value >> 64):x16}{(ulong)value:x16}", "N");

        uuid.ToString().ShouldStartWith(begin);
        (uuid.Version, uuid.Variant & 0b1100).ShouldBe((7, 0b1000));
    }
}
