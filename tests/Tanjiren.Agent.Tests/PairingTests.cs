using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests;

public sealed class PairingTests : IAsyncLifetime
{
    private readonly TemporaryDirectory directory = new();
    private FakeControlPlane server = null!;

    private string Home => directory.File("home");

    public async ValueTask InitializeAsync() => server = await FakeControlPlane.StartAsync();

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        directory.Dispose();
    }

    [Fact]
    public async Task The_identity_is_written_and_the_key_is_private()
    {
        var result = await PairAsync("good-code");

        result.Error.ShouldBeNull();
        AgentIdentity.Load(Home)!.InstanceId.ShouldBe(FakeControlPlane.InstanceId);
        if (!OperatingSystem.IsWindows()) File.GetUnixFileMode(Path.Combine(Home, "key.pem")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    [Fact]
    public async Task A_lost_answer_is_asked_for_again_with_the_same_key()
    {
        server.LoseAnswers("pair", 2);

        (await PairAsync("good-code")).Error.ShouldBeNull();

        server.PairedKeys.Count.ShouldBe(3);
        server.PairedKeys.Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task A_later_call_uses_the_key_of_the_first()
    {
        server.LoseAnswers("pair", 100);
        var failed = await PairAsync("good-code");
        (failed.Retryable, failed.Identity).ShouldBe((true, null));
        server.LoseAnswers("pair", 0);

        (await PairAsync("good-code")).Error.ShouldBeNull();

        server.PairedKeys.Distinct().Count().ShouldBe(1);
    }

    [Fact]
    public async Task A_wrong_code_is_said_and_nothing_is_written()
    {
        var result = await PairAsync("bad-code");

        (result.Retryable, result.Problem!.Code).ShouldBe((false, "invalid_pairing_code"));
        AgentIdentity.Load(Home).ShouldBeNull();
    }

    [Fact]
    public async Task Told_to_come_back_in_minutes_it_says_so_and_does_not_wait()
    {
        server.Refuse("pair", 429, ErrorCode.RateLimited, retryAfter: 240, detail: "Too many tries.");

        var result = await PairAsync("good-code");

        (result.Retryable, result.Error!.Contains("Too many tries.", StringComparison.Ordinal), server.Count("pair")).ShouldBe((true, true, 1));
    }

    [Fact]
    public async Task A_key_that_others_may_read_is_refused()
    {
        Prerequisite.Linux();
        (await PairAsync("good-code")).Error.ShouldBeNull();
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(Path.Combine(Home, "key.pem"), (UnixFileMode)0b110_100_100);

        await Should.ThrowAsync<InvalidDataException>(() => PairAsync("good-code"));
    }

    private Task<PairResult> PairAsync(string code) =>
        Pairing.PairAsync(Home, server.Url, code, insecureHttp: false, TimeProvider.System, NullLoggerFactory.Instance, TestContext.Current.CancellationToken);
}
