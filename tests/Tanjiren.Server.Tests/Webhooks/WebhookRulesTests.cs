using Tanjiren.Server.Problems;
using Tanjiren.Server.Webhooks;

namespace Tanjiren.Server.Tests.Webhooks;

public sealed class WebhookRulesTests
{
    [Theory]
    [InlineData("https://hooks.example.org", "https://hooks.example.org/")]
    [InlineData(" https://HOOKS.example.org:8443/a/b?token=1 ", "https://hooks.example.org:8443/a/b?token=1")]
    [InlineData("https://93.184.215.14/x", "https://93.184.215.14/x")]
    [InlineData("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/")]
    [InlineData("https://localhost/", "https://localhost/")] // a name: what it leads to counts when it is used
    public void These_are_taken(string url, string stored)
    {
        var errors = new FieldErrors();
        WebhookRules.CheckUrl(url, allowPrivate: false, errors).ShouldBe(stored);
        errors.Any.ShouldBeFalse();
    }

    [Theory]
    [InlineData(null, "is required")]
    [InlineData("  ", "is required")]
    [InlineData("http://hooks.example.org/", "https://")]
    [InlineData("hooks.example.org", "https://")]
    [InlineData("https://", "https://")]
    [InlineData("file:///etc/passwd", "https://")]
    [InlineData("https://a b/", "https://")]
    [InlineData("https://ann:secret@hooks.example.org/", "user name")]
    [InlineData("https://hooks.example.org/#part", "fragment")]
    [InlineData("https://127.0.0.1/", "not public")]
    [InlineData("https://0x7f.1/", "not public")]
    [InlineData("https://2130706433/", "not public")]
    [InlineData("https://10.1.2.3:443/", "not public")]
    [InlineData("https://169.254.169.254/latest/meta-data/", "not public")]
    [InlineData("https://[::1]/", "not public")]
    [InlineData("https://[::ffff:10.0.0.1]/", "not public")]
    [InlineData("https://[fe80::1]/", "not public")]
    [InlineData("https://hooks.example.org/\u0001", "control")]
    public void These_are_refused_and_the_field_is_named(string? url, string because)
    {
        var errors = new FieldErrors();
        WebhookRules.CheckUrl(url, allowPrivate: false, errors);
        errors.ToProblem().Value.Errors!["url"].ShouldHaveSingleItem().ShouldContain(because);
    }

    [Fact]
    public void A_url_is_bounded_as_it_is_stored()
    {
        var errors = new FieldErrors();
        WebhookRules.CheckUrl("https://hooks.example.org/" + new string('é', 1000), allowPrivate: false, errors);
        errors.ToProblem().Value.Errors!["url"].ShouldHaveSingleItem().ShouldContain("2000");
    }

    [Fact]
    public void The_setting_admits_one_s_own_network_and_no_metadata()
    {
        var errors = new FieldErrors();
        WebhookRules.CheckUrl("https://10.1.2.3/", allowPrivate: true, errors);
        errors.Any.ShouldBeFalse();
        WebhookRules.CheckUrl("https://169.254.169.254/", allowPrivate: true, errors);
        errors.Any.ShouldBeTrue();
    }

    /// <summary>The example of the Standard Webhooks libraries.</summary>
    [Fact]
    public void The_signature_is_what_the_public_libraries_expect() => WebhookRules.Sign(Convert.FromBase64String("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, """{"test": 2432232314}""").ShouldBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");

    [Fact]
    public void Pauses_double_from_ten_seconds_to_an_hour_and_end_after_a_day()
    {
        var pauses = new List<TimeSpan>();
        var age = TimeSpan.Zero;
        while (WebhookRules.PauseAfter(pauses.Count + 1, age, 0.5) is { } pause)
        {
            pauses.Add(pause);
            age += pause;
        }
        pauses.Take(4).Select(p => p.TotalSeconds).ShouldBe([10, 20, 40, 80], tolerance: 0.001);
        pauses.Max().TotalHours.ShouldBe(1, 0.001);
        (age.TotalHours, pauses.Count).ShouldSatisfyAllConditions(x => x.TotalHours.ShouldBeInRange(22.5, 24), x => x.Count.ShouldBeInRange(25, 40));
        WebhookRules.PauseAfter(int.MaxValue, TimeSpan.Zero, 1)!.Value.TotalMinutes.ShouldBe(72, 0.001);
        WebhookRules.PauseAfter(1, TimeSpan.Zero, 0)!.Value.TotalSeconds.ShouldBe(8, 0.001);
    }
}
