using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Secrets;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Secrets;

/// <summary>What becomes of kept secrets: attempts, retention, and hands in the database.</summary>
public sealed class SecretVaultTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Each_attempt_has_them_sealed_anew_and_they_go_with_their_task(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind, KeyFile.In(_directory));
        var box = await engine.AddWorkstationAsync("box");
        var first = await engine.CreateTaskAsync(WithSecret("value") with { Retry = new RetryPolicy { MaxAttempts = 2, BackoffSeconds = 10 } });
        await FailAsync(engine, box, first);
        engine.Clock.Advance(TimeSpan.FromSeconds(10));
        await engine.Retries.RunOnceAsync(Cancelled);
        var second = await engine.TaskAsync((await engine.TaskAsync(first.Id)).RetriedByTaskId!);
        second.SecretNames!.ShouldBe(["KEY"]);
        (await FailAsync(engine, box, second)).ShouldBe("value");
        var third = (await engine.Retrying.RetryAsync(engine.Owner, second.Id, null, null, Cancelled)).TaskId!;
        (await FailAsync(engine, box, await engine.TaskAsync(third))).ShouldBe("value");
        (await engine.ListAsync<byte[]>("SELECT sealed FROM task_secrets")).Select(bytes => Convert.ToHexString(bytes)).Distinct().Count().ShouldBe(3);
        (await engine.ListAsync<string>("SELECT DISTINCT given_by FROM task_secrets")).ShouldBe([engine.Owner.UserId]);

        engine.Clock.Advance(TimeSpan.FromDays(1));
        await new TaskPurge(engine.Database, engine.Clock).DeleteTasksAsync(engine.Clock.GetUtcNow(), Cancelled);
        (await engine.QueryAsync<long>("SELECT count(*) FROM tasks")).ShouldBe(0);
        (await engine.QueryAsync<long>("SELECT count(*) FROM task_secrets")).ShouldBe(0);
    }

    /// <summary>Who can write the database can't have a secret printed by a task of their own.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_row_that_is_moved_renamed_or_altered_opens_for_nobody(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind, KeyFile.In(_directory));
        var box = await engine.AddWorkstationAsync("box");
        var victim = await engine.CreateTaskAsync(WithSecret("the victim's") with { Secrets = new Dictionary<string, string> { ["KEY"] = "the victim's", ["OTHER"] = "theirs too" } });
        foreach (var theft in new[]
        {
            "UPDATE task_secrets SET sealed = (SELECT v.sealed FROM task_secrets v WHERE v.task_id = @victim AND v.name = 'KEY') WHERE task_id = @own",
            "UPDATE task_secrets SET sealed = (SELECT v.sealed FROM task_secrets v WHERE v.task_id = @victim AND v.name = 'OTHER') WHERE task_id = @own",
            "UPDATE task_secrets SET sealed = @bytes WHERE task_id = @own",
            "DELETE FROM task_secrets WHERE task_id = @own",
        })
        {
            var own = await engine.CreateTaskAsync(WithSecret("own"));
            await engine.ExecuteAsync(theft, new { victim = victim.Id, own = own.Id, bytes = new byte[40] });
            var claim = await engine.ClaimAsync(box, own.Execution!.Steps[0]);
            (claim.Response, claim.Refusal).ShouldBe((null, ClaimRefusal.Moved), theft);
            (await engine.StepAsync(own)).Reason.ShouldBe(StepReason.SecretsLost);
            await engine.CheckInvariantsAsync(own.Id);
        }
        (await engine.ClaimAsync(box, victim.Execution!.Steps[0])).Response!.Secrets!["OTHER"].ShouldBe("theirs too");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_that_waits_for_an_approval_is_shown_with_their_names_and_approved_with_them(DatabaseKind kind)
    {
        await using var engine = await Engine.StartAsync(kind, KeyFile.In(_directory));
        var box = await engine.AddWorkstationAsync("box");
        var task = await engine.CreateTaskAsync(WithSecret("value") with { ApprovalClass = ApprovalClass.SensitiveWrite });
        (task.State, task.SecretNames!.Single()).ShouldBe((TaskState.Planned, "KEY"));
        (await engine.Approvals.ApproveAsync(engine.Owner, task.Id, null, null, Cancelled)).ShouldBeNull();
        (await engine.ClaimAsync(box, await engine.StepAsync(task))).Response!.Secrets!["KEY"].ShouldBe("value");
    }

    [Fact]
    public async Task A_digest_of_a_request_tells_values_apart_and_none_of_them()
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Sqlite, KeyFile.In(_directory));
        var (vault, other) = ((SecretVault)engine.Service(typeof(SecretVault)), Vault(engine, KeyFile.In(_directory, "other")));
        string Of(SecretVault by, string value) => by.Covered(WithSecret(value)).Secrets!["KEY"];
        Of(vault, "one").ShouldBe(Of(vault, "one"));
        new[] { Of(vault, "one"), Of(vault, "two"), Of(other, "one"), "one" }.ShouldBeUnique();
        var without = TaskCalls.On("box");
        vault.Covered(without).ShouldBeSameAs(without);
    }

    private static SecretVault Vault(Engine engine, string keyFile) =>
        new(new SecretsKey(new SecretsOptions { KeyFile = keyFile }, engine.Database, NullLogger<SecretsKey>.Instance));

    private static CreateTaskRequest WithSecret(string value) => TaskCalls.On("box") with { Secrets = new Dictionary<string, string> { ["KEY"] = value } };

    /// <summary>What its job was given.</summary>
    private static async Task<string> FailAsync(Engine engine, Device box, TaskBody task)
    {
        var step = await engine.StepAsync(task);
        var claim = await engine.ClaimAsync(box, step);
        (await engine.CompleteAsync(box, step.Id, 1, StepOutcome.Failed)).Kind.ShouldBe(StepMoveKind.Applied);
        return claim.Response!.Secrets!["KEY"];
    }
}
