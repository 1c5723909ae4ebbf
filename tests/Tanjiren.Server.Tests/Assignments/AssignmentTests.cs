using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Assignments;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tests.Secrets;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Assignments;

/// <summary>What the server signs of a claim, and by which key.</summary>
public sealed class AssignmentTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_claims_answer_is_signed_by_the_key_of_the_pairing_and_repeated_the_same(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box") with
        {
            Command = new CommandSpec { Shell = "exit 3" },
            WorkingDirectory = "/tmp",
            Environment = new Dictionary<string, string> { ["B"] = "2", ["A"] = "1" },
            EnvironmentFromMachine = ["TERM"],
            TimeoutSeconds = 60,
            LeaseGraceSeconds = 7,
        });
        var claimId = AgentCalls.NewClaimId();
        var answer = await (await agent.TryClaimAsync(task.StepId(), claimId)).BodyAsync<ClaimResponse>();
        var assignment = Assignment.Parse(answer.Assignment, out _).ShouldNotBeNull();
        assignment.KeyId.ShouldBe(agent.ServerKey!.Thumbprint());
        assignment.IsSignedBy(agent.ServerKey).ShouldBeTrue();
        var said = assignment.Claims;
        (said.Iss, said.Aud, said.Tsk, said.Stp, said.Gen, said.Clm).ShouldBe((agent.ServerKey.Thumbprint(), agent.InstanceId, task.Id, task.StepId(), 1L, claimId));
        (said.Tmo, said.Ttl, said.Grc, said.Exp - said.Iat, said.Apr, said.Act).ShouldBe((answer.TimeoutMs, answer.LeaseTtlMs, 7000L, 60L, null, null));
        said.Sdg.ShouldBe(AssignedWork.Of(answer).Digest());
        (await server.Client.ReceiptAsync(task)).Work.Digest().ShouldBe(said.Sdg, "what the task says");

        var again = await (await agent.TryClaimAsync(task.StepId(), claimId)).BodyAsync<ClaimResponse>();
        var repeated = Assignment.Parse(again.Assignment, out _)!.Claims;
        (repeated with { Iat = said.Iat, Exp = said.Exp, Tmo = said.Tmo }).ShouldBe(said);
        repeated.Tmo.ShouldBe(again.TimeoutMs);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_covers_the_secrets_and_tells_nobody_who_keeps_it_what_they_are(DatabaseKind kind)
    {
        using var directory = new TemporaryDirectory();
        await using var server = await ServerFixture.StartAsync(kind, KeyFile.Named(KeyFile.In(directory)));
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box") with { Secrets = new Dictionary<string, string> { ["PIN"] = "995011" } });
        var claimId = AgentCalls.NewClaimId();

        var answer = await (await agent.TryClaimAsync(task.StepId(), claimId)).BodyAsync<ClaimResponse>();
        var again = await (await agent.TryClaimAsync(task.StepId(), claimId)).BodyAsync<ClaimResponse>();

        answer.Secrets.ShouldHaveSingleItem().Value.ShouldBe("995011");
        Assignment.Parse(answer.Assignment, out _)!.Claims.Sec.ShouldBe(AssignedWork.SecretsDigest(answer.Secrets, answer.SecretsSalt));
        again.SecretsSalt.ShouldNotBe(answer.SecretsSalt);
        Assignment.Parse(again.Assignment, out _)!.Claims.Sec.ShouldBe(AssignedWork.SecretsDigest(answer.Secrets, again.SecretsSalt));
        (await server.Client.ReceiptAsync(task)).Work.SecretNames.ShouldBe(["PIN"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_names_the_approval_that_it_starts_under_also_when_it_is_repeated(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(TaskCalls.On("box") with { ApprovalClass = ApprovalClass.SensitiveWrite });
        var approved = await (await server.Client.PostJsonAsync($"/api/tasks/{task.Id}/approve", new AnswerApprovalRequest())).BodyAsync<TaskBody>();
        var claimId = AgentCalls.NewClaimId();
        var hash = await server.Database.ReadAsync(sql => sql.FirstAsync<string>("SELECT action_hash FROM tasks WHERE id = @id", new { id = task.Id }), Cancelled);

        for (var i = 0; i < 2; i++)
        {
            var said = Assignment.Parse((await (await agent.TryClaimAsync(approved.StepId(), claimId)).BodyAsync<ClaimResponse>()).Assignment, out _)!.Claims;
            (said.Apr, said.Act).ShouldBe((task.Approvals!.Single().Id, hash));
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_key_that_is_old_announces_one_other_however_many_servers_look(DatabaseKind kind)
    {
        // The server's own clock goes on: its loops would run for every second of ninety days.
        var clock = new ManualTimeProvider(TimeProvider.System.GetUtcNow());
        await using var server = await ServerFixture.StartAsync(kind);
        var secrets = server.App.Services.GetRequiredService<ServerSecrets>();
        using var one = new WorkKeys(server.Database, secrets, new AssignmentOptions(), clock);
        using var other = new WorkKeys(server.Database, secrets, new AssignmentOptions(), clock);
        using var never = new WorkKeys(server.Database, secrets, new AssignmentOptions { KeyDays = 0 }, clock);
        var first = await one.CurrentAsync(Cancelled);
        (first.Count, first.Issuer).ShouldBe((1, secrets.PublicKeys[0].Thumbprint()));
        var old = first.Sign(new AssignmentClaims());

        clock.Advance(TimeSpan.FromDays(91));
        (await never.CurrentAsync(Cancelled)).Count.ShouldBe(1);
        var sets = await Task.WhenAll(one.CurrentAsync(Cancelled).AsTask(), other.CurrentAsync(Cancelled).AsTask());
        clock.Advance(TimeSpan.FromMinutes(2));
        foreach (var keys in new[] { await one.CurrentAsync(Cancelled), await other.CurrentAsync(Cancelled), await never.CurrentAsync(Cancelled) })
        {
            (keys.Count, keys.Issuer).ShouldBe((2, first.Issuer));
            keys.Announcements.ShouldBe(sets[0].Announcements);
            keys.HasSigned(Assignment.Parse(old, out _)!).ShouldBeTrue("what was signed before is still known");
            var newest = Assignment.Parse(keys.Sign(new AssignmentClaims()), out _)!;
            var followed = WorkKeyChain.Follow(keys.Issuer, [secrets.PublicKeys[0]], keys.Announcements);
            newest.IsSignedBy(followed[1]).ShouldBeTrue("an agent that knows the first is led to it");
            newest.KeyId.ShouldNotBe(Assignment.Parse(old, out _)!.KeyId);
        }

        clock.Advance(TimeSpan.FromDays(89));
        (await one.CurrentAsync(Cancelled)).Count.ShouldBe(2);
        clock.Advance(TimeSpan.FromDays(1));
        (await one.CurrentAsync(Cancelled)).Count.ShouldBe(3);
    }

    /// <summary>The other one has announced it a moment ago; this one has looked a moment before.</summary>
    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_server_knows_at_once_what_another_one_signs_with(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var task = await server.Client.CreateTaskAsync(agent);
        var claim = await agent.ClaimAsync(task.StepId());
        var tomorrow = new ManualTimeProvider(TimeProvider.System.GetUtcNow().AddDays(1));
        using var other = new WorkKeys(server.Database, server.App.Services.GetRequiredService<ServerSecrets>(), new AssignmentOptions { KeyDays = 1 }, tomorrow);
        var newest = await other.CurrentAsync(Cancelled);
        newest.Count.ShouldBe(2);

        (await (await agent.GetAsync("/api/device-trust/work-keys")).BodyAsync<WorkKeysBody>()).Announcements.Count.ShouldBe(1, "an agent that claimed at the other one is led to its key here");
        var ofOther = claim with { Assignment = newest.Sign(Assignment.Parse(claim.Assignment, out _)!.Claims) };
        await agent.EndSignedAsync(ofOther, []);
        var verified = await server.Client.VerifyAsync(task);
        (verified.Verdict, verified.Problem).ShouldBe((ReceiptVerdict.Verified, null));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_workstation_reads_the_announcements_and_nobody_else_does(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");

        var keys = await (await agent.GetAsync("/api/device-trust/work-keys")).BodyAsync<WorkKeysBody>();

        (keys.First.Thumbprint(), keys.Announcements.Count).ShouldBe((agent.ServerKey!.Thumbprint(), 0));
        (await server.Client.GetAsync("/api/device-trust/work-keys", Cancelled)).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
    }

    [Fact]
    public void Every_part_of_the_work_is_in_its_digest_and_the_order_of_an_environment_is_not()
    {
        var work = new AssignedWork { Command = new CommandSpec { Argv = ["a", "b"] }, Environment = new Dictionary<string, string> { ["A"] = "1", ["B"] = "2" } };
        AssignedWork[] others =
        [
            work with { Mode = TaskMode.Prompt },
            work with { Command = new CommandSpec { Argv = ["ab"] } },
            work with { Command = new CommandSpec { Argv = ["a", "b", ""] } },
            work with { Command = new CommandSpec { Argv = ["a"], Shell = "b" } },
            work with { Command = new CommandSpec { Shell = "a b" } },
            work with { Command = null },
            work with { WorkingDirectory = "" },
            work with { WorkingDirectory = "/" },
            work with { Environment = null },
            work with { Environment = new Dictionary<string, string> { ["A"] = "1" } },
            work with { Environment = new Dictionary<string, string> { ["A"] = "1B", ["2"] = "" } },
            work with { EnvironmentFromMachine = ["A"] },
            work with { Resources = new ResourceSpec { Cpu = 1 } },
            work with { Resources = new ResourceSpec { MemoryMb = 1 } },
            work with { Resources = new ResourceSpec { GpuCount = 1 } },
            work with { PromptText = "x" },
            work with { CodingAgent = "x" },
            work with { SecretNames = ["x"] },
            work with { Questions = [new TaskQuestion { Name = "a", Text = "b" }] },
            work with { Questions = [new TaskQuestion { Name = "a", Text = "c" }] },
            work with { Questions = [new TaskQuestion { Name = "a", Text = "b", Form = AnswerForm.List }] },
            work with { Questions = [new TaskQuestion { Name = "a", Text = "b", Fields = ["x"] }] },
            work with { PermissionTimeoutMs = 1000 },
        ];
        others.Select(o => o.Digest()).Append(work.Digest()).Distinct().Count().ShouldBe(others.Length + 1);
        (work with { Environment = new Dictionary<string, string> { ["B"] = "2", ["A"] = "1" } }).Digest().ShouldBe(work.Digest());
        // As it is written down in docs/concepts/signed-work.md: whoever changes the encoding breaks every receipt.
        new AssignedWork { Command = new CommandSpec { Shell = "true" } }.Digest().ShouldBe("cacb5f8b2a6637bfd6f2c87a755e1dbd53401b6d05dad404a5c551d0d778043a");
    }

    /// <summary>As it is written down in docs/concepts/signed-work.md.</summary>
    [Fact]
    public void The_digest_of_a_log_is_a_chain_over_all_that_is_said_of_each_chunk()
    {
        var digest = new LogDigest();
        digest.Value.ShouldBe("ad7bd90fddb874739d8b82c0f84fb2cd1019dd4ab62ebdd9da57971f94c8303d");
        digest.Add(1, LogStream.Stdout, DateTimeOffset.UnixEpoch.AddDays(1), "hi"u8);
        digest.Value.ShouldBe("cdd391d73caa75fe89586a89916675f55088b2f4ff7c17741884d1699c7a995b");

        (long, LogStream, DateTimeOffset, string)[] others =
        [
            (2, LogStream.Stdout, DateTimeOffset.UnixEpoch.AddDays(1), "hi"), (1, LogStream.Stderr, DateTimeOffset.UnixEpoch.AddDays(1), "hi"),
            (1, LogStream.Stdout, DateTimeOffset.UnixEpoch.AddDays(1).AddMilliseconds(1), "hi"), (1, LogStream.Stdout, DateTimeOffset.UnixEpoch.AddDays(1), "ho"),
        ];
        foreach (var (seq, stream, at, text) in others)
        {
            var other = new LogDigest();
            other.Add(seq, stream, at, System.Text.Encoding.UTF8.GetBytes(text));
            other.Value.ShouldNotBe(digest.Value);
        }
    }
}
