using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>The answer to a pairing, to the first token and to the first session is lost (acceptance 4): each is repeated, and the machine is what it would have been.</summary>
public sealed class LostAnswerAtStartTests
{
    private const string WhyNone = "these answers come before the first claim, so no lease is touched";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    [Fact]
    public Task An_answer_lost_at_the_start_is_repeated() => FaultRounds.RunAsync("answer lost: pair, token, sessions", new SceneOptions(), async (scene, random) =>
    {
        FaultRule? pair = null;
        // A fresh process asks without a nonce first, and again when its patience is over sooner than the server's: the lost answer is the one that counts.
        var fresh = await scene.PairAnotherAsync($"fresh-{scene.Round}", proxy => pair = proxy.Inject(FaultKind.LoseResponse, "POST", "/api/device-trust/pair", times: random.Next(1, 3), onlyStatus: 200));
        await AnsweredAsync(pair!, scene);

        var token = fresh.Proxy.Inject(FaultKind.LoseResponse, "POST", "/api/device-trust/token", times: random.Next(1, 3), onlyStatus: 200);
        var session = fresh.Proxy.Inject(FaultKind.LoseResponse, "POST", "/api/instances/*/sessions", times: random.Next(1, 3));
        fresh.Start();
        await AnsweredAsync(token, scene);
        await AnsweredAsync(session, scene);
        await scene.SubmitAsync(beats: 3, new TargetSpec { Workstations = [fresh.InstanceId] });
        await scene.SettleAsync();
        (await fresh.Process.TerminateAsync(Limit)).ShouldBe(0, fresh.Log.Tail());
    },
    new CannotProvoke(FaultTally.StaleLeases, WhyNone), new CannotProvoke(FaultTally.Requeues, WhyNone), new CannotProvoke(FaultTally.RefusedWrites, WhyNone));

    private static async Task AnsweredAsync(FaultRule rule, FaultScene scene)
    {
        var lost = await rule.FirstHit.WaitAsync(Limit, TimeProvider.System);
        await lost.Answered.WaitAsync(Limit, TimeProvider.System);
        lost.Status.ShouldBe(200, $"{lost}{Environment.NewLine}{scene.Evidence()}");
    }
}
