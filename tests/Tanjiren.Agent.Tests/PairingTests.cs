using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Keys;
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
    public async Task Pairing_again_keeps_the_old_key_until_the_new_one_is_bound()
    {
        (await PairAsync("good-code")).Error.ShouldBeNull();
        var old = KeyInPlace();
        server.Refuse("pair", 429, ErrorCode.RateLimited, retryAfter: 240);
        (await PairAsync("good-code", freshKey: true)).Identity.ShouldBeNull();
        (await PairAsync("bad-code", freshKey: true)).Identity.ShouldBeNull();
        (KeyInPlace(), AgentIdentity.Load(Home)!.KeyFingerprint).ShouldBe((old, old));

        // A lost answer may have spent the code on the new key: the next try must come with the same one.
        server.LoseAnswers("pair", 100);
        (await PairAsync("good-code", freshKey: true)).Retryable.ShouldBeTrue();
        KeyInPlace().ShouldBe(old);
        server.LoseAnswers("pair", 0);
        (await PairAsync("good-code", freshKey: true)).Error.ShouldBeNull();
        (KeyInPlace(), AgentIdentity.Load(Home)!.KeyFingerprint).ShouldBe((server.PairedKeys.Last(), server.PairedKeys.Last()));
        server.PairedKeys.Distinct().Count().ShouldBe(2);
    }

    [Fact]
    public async Task A_crash_between_the_new_identity_and_its_key_is_finished_by_the_next_start()
    {
        (await PairAsync("good-code")).Error.ShouldBeNull();
        var place = new AgentHome(Home);
        File.Copy(place.Key, place.Key + ".kept");
        (await PairAsync("good-code", freshKey: true)).Error.ShouldBeNull();
        File.Move(place.Key, place.NextKey);
        File.Move(place.Key + ".kept", place.Key);

        place.FinishPairing();

        (KeyInPlace(), File.Exists(place.NextKey)).ShouldBe((AgentIdentity.Load(Home)!.KeyFingerprint, false));
    }

    [Fact]
    public async Task A_key_that_others_may_read_is_refused()
    {
        Prerequisite.Linux();
        (await PairAsync("good-code")).Error.ShouldBeNull();
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(Path.Combine(Home, "key.pem"), (UnixFileMode)0b110_100_100);

        await Should.ThrowAsync<InvalidDataException>(() => PairAsync("good-code"));
    }

    private string KeyInPlace()
    {
        using var key = new FileKeyStore(new AgentHome(Home).Key).Load()!;
        return Jwk.FromKey(key).Thumbprint();
    }

    private Task<PairResult> PairAsync(string code, bool freshKey = false) =>
        Pairing.PairAsync(Home, server.Url, code, insecureHttp: false, TimeProvider.System, NullLoggerFactory.Instance, TestContext.Current.CancellationToken, freshKey);
}
