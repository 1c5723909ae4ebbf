namespace Tanjiren.Agent.Tests;

public sealed class AgentOptionsTests
{
    [Fact]
    public void The_default_timeouts_stand_in_their_order() => new AgentTimeouts().Validate().ShouldBeEmpty();

    [Fact]
    public void A_broken_order_is_named_with_both_settings()
    {
        var errors = (new AgentTimeouts() with { LeaseTick = TimeSpan.FromSeconds(6), OutputSync = TimeSpan.FromMilliseconds(5) }).Validate();

        errors.ShouldContain(e => e.Contains("LeaseTick") && e.Contains("LeaseMargin"));
        errors.ShouldContain(e => e.Contains("OutputCoalescing") && e.Contains("OutputSync"));
        errors.Count.ShouldBe(2);
    }

    [Fact]
    public void Each_wrong_setting_is_named()
    {
        var errors = new AgentOptions { Home = "relative", MaxConcurrent = 0, WatchdogCommand = [], OutboxBudgetBytes = 1, MaxStepLogBytes = 0 }.Validate();

        foreach (var name in new[] { "Home", "MaxConcurrent", "WatchdogCommand", "OutboxBudgetBytes", "MaxStepLogBytes" })
            errors.ShouldContain(e => e.StartsWith(name));
    }
}
