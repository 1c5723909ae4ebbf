using System.Collections.Concurrent;
using Tanjiren.Agent.Limits;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Limits;

/// <summary>Graphics cards: handed out by an agent, never one to two jobs.</summary>
public sealed class GpuTests : IAsyncLifetime
{
    private FakeControlPlane server = null!;
    private AgentHarness agent = null!;

    public async ValueTask InitializeAsync()
    {
        Prerequisite.Linux();
        server = await FakeControlPlane.StartAsync();
        agent = await AgentHarness.PairedAsync(server);
    }

    public async ValueTask DisposeAsync()
    {
        await agent.DisposeAsync();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task No_card_is_ever_two_jobs_however_many_take_and_return_them()
    {
        var pool = new GpuPool(["a", "b", "c", "d", "e"]);
        var holders = new ConcurrentDictionary<string, int>();
        await Task.WhenAll(Enumerable.Range(1, 8).Select(job => Task.Run(() =>
        {
            var random = new Random(job);
            for (var i = 0; i < 20_000; i++)
            {
                var count = random.Next(0, 7);
                if (pool.TryTake(count) is not { } cards) continue;
                cards.Count.ShouldBe(count);
                foreach (var card in cards) holders.TryAdd(card, job).ShouldBeTrue($"{card} is {holders.GetValueOrDefault(card)}'s, and was given to {job}");
                foreach (var card in cards) holders.TryRemove(card, out _);
                pool.Return(cards);
            }
        }, TestContext.Current.CancellationToken)));
        pool.TryTake(5)!.Order().ShouldBe(["a", "b", "c", "d", "e"]);
        pool.TryTake(1).ShouldBeNull();
    }

    [Fact]
    public async Task A_job_sees_its_own_cards_and_one_that_asked_for_none_sees_none()
    {
        await StartAsync(cards: 3);
        var two = server.Shell("echo \"$CUDA_VISIBLE_DEVICES\"", new ResourceSpec { GpuCount = 2 });
        var none = server.Shell("echo \"[$CUDA_VISIBLE_DEVICES]${CUDA_VISIBLE_DEVICES+set}\"");
        await Eventually.TrueAsync(() => two.Result is not null && none.Result is not null);
        two.Output().Trim().Split(',').Distinct().Count(card => card is "0" or "1" or "2").ShouldBe(2);
        none.Output().ShouldBe("[]set\n");
    }

    [Fact]
    public async Task A_machine_without_cards_leaves_the_variable_alone()
    {
        await agent.StartAsync();
        var step = server.Shell("echo \"[${CUDA_VISIBLE_DEVICES-unset}]\"");
        await Eventually.TrueAsync(() => step.Result is not null);
        // Unless this test's own machine has some.
        step.Output().ShouldBe(new GpuProbe().Read().HasCards ? "[]\n" : "[unset]\n");
    }

    [Fact]
    public async Task A_job_whose_cards_are_taken_goes_back_and_starts_when_they_are_free()
    {
        await StartAsync(cards: 1);
        var first = server.Shell($"echo up; while [ ! -e {agent.File("go")} ]; do sleep 0.02; done", new ResourceSpec { GpuCount = 1 });
        await Eventually.TrueAsync(() => first.Output().Contains("up"));

        var second = server.Shell($"touch {agent.File("ran")}; echo $CUDA_VISIBLE_DEVICES", new ResourceSpec { GpuCount = 1 });
        await Eventually.TrueAsync(() => second.Releases > 0);
        File.Exists(agent.File("ran")).ShouldBeFalse();
        // Others are not held up by it, and it is not claimed over and over meanwhile.
        for (var i = 0; i < 3; i++)
        {
            var other = server.Shell("sleep 0.2");
            await Eventually.TrueAsync(() => other.Result is not null);
        }
        (second.Result, second.Releases).ShouldBe((null, 1));

        await File.WriteAllTextAsync(agent.File("go"), "", TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(() => second.Result is not null);
        (second.Result!.Outcome, second.Output()).ShouldBe((StepOutcome.Succeeded, "0\n"));
    }

    [Theory]
    [InlineData(0, "limits.gpuCount: 0")]
    [InlineData(null, "this machine gives jobs 1")]
    public async Task More_cards_than_the_machine_gives_are_refused_by_the_agent(int? cap, string words)
    {
        await StartAsync(cards: 1, cap);
        var step = server.Shell($"touch {agent.File("ran")}", new ResourceSpec { GpuCount = 2 });
        await Eventually.TrueAsync(() => step.Result is not null);
        (step.Result!.Outcome, step.Result.Reason).ShouldBe((StepOutcome.Failed, StepReason.RejectedByAgent));
        step.Result.Detail!.ShouldContain(words);
        File.Exists(agent.File("ran")).ShouldBeFalse();
    }

    /// <summary>A machine whose owner says that it has so many.</summary>
    private Task StartAsync(int cards, int? cap = null)
    {
        agent.Settings = new AgentSettings { Labels = new Dictionary<string, string> { ["gpuCount"] = cards.ToString() }, Limits = new LimitSettings { GpuCount = cap } };
        return agent.StartAsync();
    }
}
