using Tanjiren.Server.DeviceTrust;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.DeviceTrust;

public sealed class UsedProofsTests
{
    private readonly ManualTimeProvider _clock = new();

    [Fact]
    public void A_proof_is_remembered_as_long_as_it_could_pass_and_then_forgotten()
    {
        var options = new DeviceTrustOptions();
        var used = new UsedProofs(options, _clock);
        used.Use("key", "one").ShouldBe(ProofUse.First);
        used.Use("key", "one").ShouldBe(ProofUse.Replayed);
        _clock.Advance(options.ProofLifetime);
        used.Use("key", "one").ShouldBe(ProofUse.Replayed);
        _clock.Advance(options.ProofLifetime);
        used.Use("key", "two").ShouldBe(ProofUse.First);
        used.Count.ShouldBe(1);
    }

    [Fact]
    public void When_it_is_full_it_refuses_and_forgets_nobody()
    {
        var options = new DeviceTrustOptions { RememberedProofs = 2 };
        var used = new UsedProofs(options, _clock);
        used.Use("key", "one").ShouldBe(ProofUse.First);
        used.Use("key", "two").ShouldBe(ProofUse.First);
        used.Use("key", "three").ShouldBe(ProofUse.Full);
        used.Use("key", "one").ShouldBe(ProofUse.Replayed);
        _clock.Advance(options.ProofLifetime * 2);
        used.Use("key", "three").ShouldBe(ProofUse.First);
    }

    [Fact]
    public void Keys_have_their_own_ids()
    {
        var used = new UsedProofs(new DeviceTrustOptions(), _clock);
        used.Use("key", "one").ShouldBe(ProofUse.First);
        used.Use("other", "one").ShouldBe(ProofUse.First);
    }

    [Fact]
    public async Task Of_many_at_once_one_is_first()
    {
        var used = new UsedProofs(new DeviceTrustOptions(), _clock);
        for (var round = 0; round < 50; round++)
        {
            var id = "round" + round;
            var uses = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => used.Use("key", id))));
            uses.Count(u => u == ProofUse.First).ShouldBe(1);
        }
    }
}
