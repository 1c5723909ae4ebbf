using System.Net;
using System.Security.Cryptography;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.DeviceTrust.Rotations;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Assignments;

/// <summary>What a workstation signed verifies, offline and for ever; what anybody with the database changes of it does not.</summary>
public sealed class ReceiptTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    /// <summary>What is done to the database, and words of what is found. The step printed two chunks.</summary>
    private static readonly (string What, string Sql, string Found)[] Alterations =
    [
        ("a byte of output", "UPDATE step_logs SET data = {bytes} WHERE step_id = @step AND seq = 2", "chunk 2 of its output (stdout) was altered"),
        ("a byte of output and what was noted of it", "UPDATE step_logs SET data = {bytes}, signature = '{signature}' WHERE step_id = @step AND seq = 2", "its output was altered"),
        ("when it was printed", "UPDATE step_logs SET at = at + 1 WHERE step_id = @step AND seq = 1", "its output was altered"),
        ("its stream", "UPDATE step_logs SET stream = 'stderr' WHERE step_id = @step AND seq = 1", "chunk 1 of its output (stderr) was altered"),
        ("the first chunk gone", "DELETE FROM step_logs WHERE step_id = @step AND seq = 1", "chunk 1 of its output is missing"),
        ("the last chunk gone", "DELETE FROM step_logs WHERE step_id = @step AND seq = 2", "chunks 2 to 2 of its output are missing"),
        ("the last chunk gone and its number", "DELETE FROM step_logs WHERE step_id = @step AND seq = 2; UPDATE steps SET final_log_seq = 1 WHERE id = @step", "finalLogSeq"),
        ("one chunk more", "INSERT INTO step_logs (step_id, generation, seq, task_id, event_seq, stream, at, signature, data) SELECT step_id, generation, 3, task_id, event_seq, stream, at, signature, data FROM step_logs WHERE step_id = @step AND seq = 1", "has 3 chunks, and 2 were signed"),
        ("output of a claim that was never signed", "INSERT INTO step_logs (step_id, generation, seq, task_id, event_seq, stream, at, signature, data) SELECT step_id, 9, seq, task_id, event_seq, stream, at, signature, data FROM step_logs WHERE step_id = @step AND seq = 1", "the output of claim 9 is signed by nobody"),
        ("the exit code", "UPDATE steps SET exit_code = 1 WHERE id = @step", "exitCode"),
        ("the outcome", "UPDATE steps SET state = 'failed', outcome = 'FAILED', reason = 'exitCode' WHERE id = @step", "the outcome is FAILED, and SUCCEEDED was signed"),
        ("the state alone", "UPDATE steps SET state = 'failed' WHERE id = @step", "the state is failed"),
        ("a reason", "UPDATE steps SET reason = 'timeout' WHERE id = @step", "reason"),
        ("the signal", "UPDATE steps SET signal = 'SIGKILL' WHERE id = @step", "signal"),
        ("the duration", "UPDATE steps SET duration_ms = duration_ms + 1 WHERE id = @step", "durationMs"),
        ("the detail", "UPDATE steps SET detail = 'as planned' WHERE id = @step", "detail"),
        ("the preview", "UPDATE steps SET output_preview = {bytes} WHERE id = @step", "outputPreview"),
        ("that it was cut", "UPDATE steps SET truncated = 1 WHERE id = @step", "truncated"),
        ("the result's digest", "UPDATE steps SET result_digest = 'x' WHERE id = @step", "resultDigest"),
        ("the command", "UPDATE tasks SET spec = replace(spec, '\"true\"', '\"false\"') WHERE id = @task", "the task does not say what was run"),
        ("the receipt gone", "UPDATE step_claims SET receipt = NULL WHERE step_id = @step", "its workstation signed no receipt"),
        ("the receipt's end", "UPDATE step_claims SET receipt = substr(receipt, 1, length(receipt) - 4) || 'AAAA' WHERE step_id = @step", "its signature is wrong"),
        ("another step's receipt", "UPDATE step_claims SET receipt = (SELECT c.receipt FROM step_claims c WHERE c.step_id = @other) WHERE step_id = @step", "the receipt is that of step"),
        ("who ended it", "UPDATE steps SET completed_generation = NULL WHERE id = @step", "nobody signed for it"),
        ("who claimed it", "UPDATE step_claims SET instance_id = @stranger WHERE step_id = @step", "and ws_"),
        ("its key", "UPDATE instance_keys SET jkt = jkt || 'x' WHERE instance_id = (SELECT instance_id FROM step_claims WHERE step_id = @step)", "chain of keys"),
    ];

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_signed_step_verifies_until_anything_of_it_is_altered(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var stranger = await server.NewAgentAsync("other");
        var other = await server.RunSignedAsync(agent);
        (await server.Client.VerifyAsync(other)).ShouldBe(new ReceiptResult(other.StepId(), ReceiptVerdict.Verified, null, agent.Fingerprint()), "nothing was printed");
        (await server.Client.TaskAsync(other.Id)).Execution!.Steps[0].ReceiptState.ShouldBe(ReceiptState.Signed);

        var bytes = kind == DatabaseKind.Sqlite ? "X'6869'" : @"'\x6869'";
        var signature = AgentCalls.Chunk(2, "hi").Signature();
        foreach (var (what, sql, found) in Alterations)
        {
            var task = await server.RunSignedAsync(agent, "one\n", "two\n");
            var before = await server.Client.VerifyAsync(task, agent.Fingerprint());
            (before.Verdict, before.Problem).ShouldBe((ReceiptVerdict.Verified, null), what);
            await server.Database.WriteAsync(tx => tx.ExecuteAsync(sql.Replace("{bytes}", bytes, StringComparison.Ordinal).Replace("{signature}", signature, StringComparison.Ordinal),
                new { step = task.StepId(), task = task.Id, other = other.StepId(), stranger = stranger.InstanceId }), Cancelled);

            var after = await server.Client.VerifyAsync(task, agent.Fingerprint());

            after.Verdict.ShouldBe(ReceiptVerdict.NotVerified, what);
            after.Problem!.ShouldContain(found, Case.Sensitive, what);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task After_retention_the_rest_still_verifies(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.RunSignedAsync(agent, "one\n", "two\n");

        (await server.App.Services.GetRequiredService<TaskPurge>().DeleteLogsAsync(TimeProvider.System.GetUtcNow().AddDays(1), Cancelled)).ShouldBe(2);

        var purged = await server.Client.VerifyAsync(task);
        (purged.Verdict, purged.Problem).ShouldBe((ReceiptVerdict.VerifiedLogPurged, null));
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE steps SET exit_code = 1 WHERE id = @step", new { step = task.StepId() }), Cancelled);
        (await server.Client.VerifyAsync(task)).Problem!.ShouldContain("exitCode");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task One_that_does_not_fit_is_refused_and_none_is_taken(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var stranger = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var earlier = await agent.ClaimAsync((await server.Client.CreateTaskAsync(agent)).StepId());
        var task = await server.Client.CreateTaskAsync(agent);
        var claim = await agent.ClaimAsync(task.StepId());
        var result = ReceiptCalls.ResultOf(claim, []);
        var good = ReceiptCalls.Describe(agent, claim, result, []);
        var ofStranger = Assignment.Sign(stranger, Jwk.FromKey(stranger).Thumbprint(), Assignment.Parse(claim.Assignment, out _)!.Claims);
        (string What, string Receipt)[] bad =
        [
            ("no JWS", "x"),
            ("too long", agent.Sign(good) + new string('A', Receipt.MaxLength)),
            ("another type", KeyStatement.Sign(agent.Key, Receipt.Payload(good))),
            ("another key", agent.Sign(good, stranger)),
            ("a changed signature", agent.Sign(good)[..^4] + "AAAA"),
            ("another workstation", agent.Sign(good with { Iss = "ws_00000000000000000000000009" })),
            ("another step", agent.Sign(good with { Stp = earlier.StepId })),
            ("another generation", agent.Sign(good with { Gen = 2 })),
            ("another outcome", agent.Sign(good with { Out = StepOutcome.Failed })),
            ("another reason", agent.Sign(good with { Rsn = StepReason.Timeout })),
            ("another exit code", agent.Sign(good with { Exc = 1 })),
            ("another length", agent.Sign(good with { Fin = 1 })),
            ("another digest", agent.Sign(good with { Rdg = "x" })),
            ("another preview", agent.Sign(good with { Pvw = "x" })),
            ("another task", agent.Sign(good with { Tsk = earlier.TaskId })),
            ("other work", agent.Sign(good with { Sdg = "x" })),
            ("another claim's assignment", agent.Sign(good with { Asg = earlier.Assignment })),
            ("an assignment of nobody", agent.Sign(good with { Asg = ofStranger })),
            ("no assignment at all", agent.Sign(good with { Asg = "x" })),
        ];
        foreach (var (what, receipt) in bad)
            (await (await agent.TryCompleteAsync(task.StepId(), result with { Receipt = receipt })).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
                .Errors!.Keys.ShouldBe(["receipt"], what);
        (await server.Client.TaskAsync(task.Id)).Execution!.Steps[0].ShouldSatisfyAllConditions(s => s.State.ShouldBe(StepState.Running), s => s.ReceiptState.ShouldBeNull());

        // An agent that knows no receipts.
        (await agent.TryCompleteAsync(task.StepId(), result)).EnsureSuccessStatusCode();
        (await server.Client.TaskAsync(task.Id)).Execution!.Steps[0].ReceiptState.ShouldBe(ReceiptState.Missing);
        // The first word counts, with or without.
        (await agent.TryCompleteAsync(task.StepId(), result with { Receipt = agent.Sign(good) })).EnsureSuccessStatusCode();
        (await server.Client.VerifyAsync(task)).Problem.ShouldBe("its workstation signed no receipt");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Receipts_by_the_old_key_and_the_new_one_verify_from_the_anchor(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var old = await server.NewAgentAsync("box");
        using var next = old.WithNewKey();
        var before = await server.RunSignedAsync(old, "one\n");
        await server.Client.ApproveKeyAsync(await old.RequestKeyAsync(next), next);
        await next.SignInAsync();
        var after = await server.RunSignedAsync(next, "two\n");

        foreach (var anchor in new string[][] { [], [old.Fingerprint()] })
        {
            (await server.Client.VerifyAsync(before, anchor)).Key.ShouldBe(old.Fingerprint());
            var verified = await server.Client.VerifyAsync(after, anchor);
            (verified.Verdict, verified.Problem, verified.Key).ShouldBe((ReceiptVerdict.Verified, null, next.Fingerprint()));
        }
        (await server.Client.VerifyAsync(after, next.Fingerprint())).Verdict.ShouldBe(ReceiptVerdict.Verified);
        (await server.Client.VerifyAsync(before, next.Fingerprint())).Problem!.ShouldContain("older than the anchor");
        (await server.Client.VerifyAsync(before, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")).Problem!.ShouldContain("no key of it has the fingerprint");

        // What it signed is to be verified when it is long gone.
        (await server.Client.DeleteAsync("/api/instances/box", Cancelled)).EnsureSuccessStatusCode();
        (await server.Client.VerifyAsync(after, old.Fingerprint())).Verdict.ShouldBe(ReceiptVerdict.Verified);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Every_start_of_a_step_is_verified_and_one_that_nobody_signed_is_told(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var tasks = new List<TaskBody>();
        foreach (var signs in new[] { true, false })
        {
            var task = await server.Client.CreateTaskAsync(TaskCalls.On("box") with { OnWorkerLost = OnWorkerLost.Requeue });
            var lost = await agent.ClaimAsync(task.StepId());
            if (signs)
                await agent.EndSignedAsync(lost, ["lost\n"], r => r with { Outcome = StepOutcome.Failed, Reason = StepReason.UnknownOutcome, ExitCode = null });
            else
            {
                await agent.AppendAsync(task.StepId(), AgentCalls.Chunk(1, "lost\n"));
                (await agent.TryReleaseAsync(task.StepId(), 1)).EnsureSuccessStatusCode();
            }
            await agent.EndSignedAsync(await (await agent.TryClaimAsync(task.StepId(), expectedGeneration: 2)).BodyAsync<ClaimResponse>(), ["done\n"]);
            tasks.Add(task);
        }
        var verified = await server.Client.VerifyAsync(tasks[0]);
        (verified.Verdict, verified.Problem).ShouldBe((ReceiptVerdict.Verified, null));
        (await server.Client.VerifyAsync(tasks[1])).Problem!.ShouldContain("the output of claim 1 is signed by nobody");

        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE step_logs SET at = at + 1 WHERE step_id = @step AND generation = 1", new { step = tasks[0].StepId() }), Cancelled);
        (await server.Client.VerifyAsync(tasks[0])).Problem!.ShouldContain("claim 1: its output was altered");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_organization_finds_none_and_neither_does_who_asks_for_another_task(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.RunSignedAsync(agent);
        var other = await server.RunSignedAsync(agent);
        var (_, stranger) = await server.NewOrganizationAsync();
        using (stranger)
            await stranger.GetAsync($"/api/tasks/{task.Id}/steps/{task.StepId()}/receipt", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await server.Client.GetAsync($"/api/tasks/{other.Id}/steps/{task.StepId()}/receipt", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }

    [Fact]
    public void What_is_no_receipt_is_told_and_throws_nothing()
    {
        foreach (var text in new[] { "{}", """{"taskId":null,"stepId":null,"state":"succeeded","truncated":false,"work":null,"claims":null,"chains":null,"workKeys":null}""" })
        {
            StepReceiptBody? body = null;
            try
            {
                body = System.Text.Json.JsonSerializer.Deserialize(text, WireJson.Default.StepReceiptBody);
            }
            catch (System.Text.Json.JsonException)
            {
                continue; // the reader says so
            }
            new ReceiptVerifier(body!, []).Finish().Verdict.ShouldBe(ReceiptVerdict.NotVerified);
        }
    }
}
