using System.Net;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

public sealed class AttemptLimiterTests
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);
    private readonly ManualTimeProvider _clock = new();

    [Fact]
    public void It_refuses_beyond_the_limit_until_the_window_ends()
    {
        var limiter = new AttemptLimiter(_clock);
        limiter.Take("a", 2, Minute).ShouldBeNull();
        limiter.Take("a", 2, Minute).ShouldBeNull();
        _clock.Advance(TimeSpan.FromSeconds(20));
        limiter.Take("a", 2, Minute).ShouldBe(40);
        limiter.Take("b", 2, Minute).ShouldBeNull();
        _clock.Advance(TimeSpan.FromSeconds(40));
        limiter.Take("a", 2, Minute).ShouldBeNull();
    }

    [Fact]
    public void When_it_is_full_new_keys_wait_and_old_counts_stand()
    {
        var limiter = new AttemptLimiter(_clock);
        limiter.Take("a", 1, Minute).ShouldBeNull();
        for (var i = 1; i < 100_000; i++) limiter.Take("key" + i, 1, Minute).ShouldBeNull();
        limiter.Take("new", 1, Minute).ShouldNotBeNull();
        limiter.Take("a", 1, Minute).ShouldNotBeNull();
        _clock.Advance(Minute);
        limiter.Take("new", 1, Minute).ShouldBeNull();
    }

    [Fact]
    public void An_ipv6_network_is_one_address()
    {
        AttemptLimiter.KeyOf(IPAddress.Parse("2001:db8:1:2::1")).ShouldBe(AttemptLimiter.KeyOf(IPAddress.Parse("2001:db8:1:2:ffff::9")));
        AttemptLimiter.KeyOf(IPAddress.Parse("2001:db8:1:3::1")).ShouldNotBe(AttemptLimiter.KeyOf(IPAddress.Parse("2001:db8:1:2::1")));
        AttemptLimiter.KeyOf(IPAddress.Parse("::ffff:10.0.0.1")).ShouldBe("10.0.0.1");
    }
}
