using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Agent.Tests.Assignments;

/// <summary>What an agent signs of a step that has ended.</summary>
public sealed class ReceiptTests : IAsyncLifetime
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
        if (agent is not null) await agent.DisposeAsync();
        if (server is not null) await server.DisposeAsync();
    }

    [Fact]
    public async Task It_is_by_the_bound_key_over_result_assignment_and_every_chunk()
    {
        await agent.StartAsync();
        var step = server.Shell("echo out; echo err >&2; exit 7");

        var result = await ResultAsync(step);

        var receipt = Receipt.Read(result.Receipt).ShouldNotBeNull();
        receipt.Signer.Thumbprint().ShouldBe(AgentIdentity.Load(agent.Home)!.KeyFingerprint);
        var said = receipt.Claims;
        said.DiffersIn(result).ShouldBeNull();
        (said.Iss, said.Tsk, said.Stp, said.Gen, said.Exc).ShouldBe((FakeControlPlane.InstanceId, step.TaskId, step.Id, 1L, 7));
        var assignment = Assignment.Parse(said.Asg, out _).ShouldNotBeNull();
        assignment.IsSignedBy(server.ServerKey).ShouldBeTrue();
        (assignment.Claims.Sdg, assignment.Claims.Clm).ShouldBe((said.Sdg, server.Claims.Single().ClaimId));
        said.Lgd.ShouldBe(DigestOf(step));
    }

    [Fact]
    public async Task A_repeated_result_carries_a_receipt_that_says_the_same()
    {
        server.LoseAnswers("complete", 2);
        await agent.StartAsync();
        var step = server.Shell("echo out");

        await ResultAsync(step);
        await Eventually.TrueAsync(() => server.Completes.Count == 3);

        server.Completes.Select(c => Receipt.Read(c.Receipt)!.Claims).Distinct().ShouldHaveSingleItem();
    }

    [Fact]
    public async Task A_receipt_that_the_server_refuses_costs_no_result()
    {
        server.RefusesReceipts = true;
        await agent.StartAsync();

        var result = await ResultAsync(server.Shell("echo out"));

        (result.Outcome, result.Receipt).ShouldBe((StepOutcome.Succeeded, null));
        server.Completes.Count(c => c.Receipt is not null).ShouldBe(1);
    }

    [Fact]
    public async Task A_result_of_before_a_restart_is_signed_as_it_was_journalled()
    {
        server.Refuse("complete", 503, ErrorCode.Unavailable, count: 100_000);
        await agent.StartAsync();
        var step = server.Shell("echo out");
        await Eventually.TrueAsync(() => server.Count("complete") > 0);
        await agent.AbortAsync();
        server.StopRefusing("complete");

        await agent.StartAsync();

        var said = Receipt.Read((await ResultAsync(step)).Receipt)!.Claims;
        (said.Out, said.Lgd, said.Asg is not null).ShouldBe((StepOutcome.Succeeded, DigestOf(step), true));
    }

    private static string DigestOf(FakeStep step)
    {
        var digest = new LogDigest();
        lock (step.Chunks)
            foreach (var chunk in step.Chunks.Values) digest.Add(chunk.Seq, chunk.Stream, chunk.At, chunk.Data);
        return digest.Value;
    }

    private static async Task<CompleteRequest> ResultAsync(FakeStep step)
    {
        await Eventually.TrueAsync(() => step.Result is not null, () => $"output so far: {step.Output()}");
        return step.Result!;
    }
}
