using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tests.Governance;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Workstations;

public sealed class InstanceTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_registered_workstation_is_a_row_and_offline(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var created = await server.Client.PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = " build box ", Tags = ["gpu", "a", "gpu"] });
        created.StatusCode.ShouldBe(HttpStatusCode.Created);
        var body = await created.BodyAsync<InstanceBody>();
        (body.Name, body.Status, body.Paired, body.Draining).ShouldBe(("build box", InstanceStatus.Offline, false, false));
        body.Tags.ShouldBe(["a", "gpu"]);
        created.Headers.Location!.ToString().ShouldBe("/api/instances/" + body.Id);
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/build%20box")).Id.ShouldBe(body.Id);
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/" + body.Id)).Id.ShouldBe(body.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_same_machine_stays_the_same_workstation_even_when_it_registers_twice_at_once(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => server.Client.PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = "laptop", MachineId = "m-1" })));
        answers.Count(a => a.StatusCode == HttpStatusCode.Created).ShouldBe(1);
        (await Task.WhenAll(answers.Select(a => a.BodyAsync<InstanceBody>()))).Select(b => b.Id).Distinct().ShouldHaveSingleItem();
        var renamed = await server.Client.PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = "other name", MachineId = "m-1" });
        renamed.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await renamed.BodyAsync<InstanceBody>()).Name.ShouldBe("laptop");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_name_is_unique_until_its_workstation_is_removed(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var first = await server.NewInstanceAsync("box");
        var other = await server.NewInstanceAsync("other");
        await server.Client.PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = "box" }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
        await server.Client.PatchJsonAsync("/api/instances/other", new UpdateInstanceRequest { Name = "box" }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
        (await server.Client.DeleteAsync("/api/instances/box", Cancelled)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await server.Client.GetAsync("/api/instances/" + first.Id, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await (await server.Client.PatchJsonAsync("/api/instances/other", new UpdateInstanceRequest { Name = "box" })).BodyAsync<InstanceBody>()).Id.ShouldBe(other.Id);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_idempotency_key_answers_the_same_for_the_same_request_and_422_for_another(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        async Task<HttpResponseMessage> CreateAsync(string name, string key)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/api/instances") { Content = JsonHttp.Content(new CreateInstanceRequest { Name = name }) };
            request.Headers.Add("Idempotency-Key", key);
            return await server.Client.SendAsync(request, Cancelled);
        }

        var answers = await Task.WhenAll(CreateAsync("box", "k1"), CreateAsync("box", "k1"), CreateAsync("box", "k1"));
        answers.Count(a => a.StatusCode == HttpStatusCode.Created).ShouldBe(1);
        (await Task.WhenAll(answers.Select(a => a.BodyAsync<InstanceBody>()))).Select(b => b.Id).Distinct().ShouldHaveSingleItem();
        await CreateAsync("another", "k1").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.IdempotencyKeyReused);
        (await CreateAsync("another", new string('k', 201)).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["Idempotency-Key"]);

        // A refused creation does not spend its key.
        await CreateAsync("box", "k2").ProblemAsync(HttpStatusCode.Conflict, ErrorCode.NameTaken);
        await server.Client.DeleteAsync("/api/instances/box", Cancelled);
        (await CreateAsync("box", "k2")).StatusCode.ShouldBe(HttpStatusCode.Created);
        await CreateAsync("box", "k1").ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);

        clock.Advance(TimeSpan.FromHours(24));
        (await CreateAsync("third", "k1")).StatusCode.ShouldBe(HttpStatusCode.Created);
        await server.App.Services.GetRequiredService<ExpiredRowsLoop>().RunOnceAsync(Cancelled);
        (await server.Database.ReadAsync(s => s.ListAsync<string>("SELECT idempotency_key FROM idempotency_keys"), Cancelled)).ShouldBe(["k1"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Tags_added_by_many_at_once_are_all_there(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box", ["old"]);
        await Task.WhenAll(Enumerable.Range(0, 10).Select(i => server.Client.PatchJsonAsync("/api/instances/box", new UpdateInstanceRequest { AddTags = ["t" + i] })));
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/box")).Tags.Count.ShouldBe(11);
        (await (await server.Client.PatchJsonAsync("/api/instances/box", new UpdateInstanceRequest { RemoveTags = ["old", "t1", "absent"], AddTags = ["z"] })).BodyAsync<InstanceBody>())
            .Tags.ShouldBe(["t0", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "z"]);
        (await (await server.Client.PatchJsonAsync("/api/instances/box", new UpdateInstanceRequest { Tags = [] })).BodyAsync<InstanceBody>()).Tags.ShouldBeEmpty();
        var many = Enumerable.Range(0, 50).Select(i => "t" + i).ToList();
        (await server.Client.PatchJsonAsync("/api/instances/box", new UpdateInstanceRequest { Tags = many })).StatusCode.ShouldBe(HttpStatusCode.OK);
        await server.Client.PatchJsonAsync("/api/instances/box", new UpdateInstanceRequest { AddTags = ["one-more"] }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Every_bad_field_is_named(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        async Task<IEnumerable<string>> FieldsAsync(CreateInstanceRequest request) =>
            (await server.Client.PostJsonAsync("/api/instances", request).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.Order();
        (await FieldsAsync(new())).ShouldBe(["name"]);
        (await FieldsAsync(new() { Name = new string('x', 101), MachineId = new string('x', 129), Tags = ["ok", "Not", "", "two words", new string('x', 65)] }))
            .ShouldBe(["machineId", "name", "tags[1]", "tags[2]", "tags[3]", "tags[4]"]);
        (await FieldsAsync(new() { Name = "a/b" })).ShouldBe(["name"]);
        (await FieldsAsync(new() { Name = Ids.New(Ids.Instance, TimeProvider.System) })).ShouldBe(["name"]);
        (await FieldsAsync(new() { Name = "x", Tags = [.. Enumerable.Range(0, 51).Select(i => "t" + i)] })).ShouldBe(["tags"]);
        foreach (var query in new[] { "limit=0", "limit=201", "cursor=!", "tag=Not" })
            (await server.Client.GetAsync("/api/instances?" + query, Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
                .Errors!.Keys.ShouldBe([query.Split('=')[0]]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Pages_go_on_where_the_last_one_ended_whatever_comes_and_goes(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var made = new List<string>();
        for (var i = 0; i < 5; i++) made.Add((await server.NewInstanceAsync("box" + i, i % 2 == 0 ? ["even_1"] : ["evenx1"])).Id);
        (await server.Client.GetBodyAsync<Page<InstanceBody>>("/api/instances?tag=even_1")).Items.Select(i => i.Name).ShouldBe(["box0", "box2", "box4"], ignoreOrder: true);
        // By id: two of one millisecond come in either order.
        made.Sort(StringComparer.Ordinal);
        var first = await server.Client.GetBodyAsync<Page<InstanceBody>>("/api/instances?limit=2");
        await server.Client.DeleteAsync("/api/instances/" + made[1], Cancelled);
        var second = await server.Client.GetBodyAsync<Page<InstanceBody>>("/api/instances?limit=2&cursor=" + first.NextCursor);
        var third = await server.Client.GetBodyAsync<Page<InstanceBody>>("/api/instances?limit=2&cursor=" + second.NextCursor);
        first.Items.Concat(second.Items).Concat(third.Items).Select(i => i.Id).ShouldBe(made);
        third.NextCursor.ShouldBeNull();
        (await server.Client.GetBodyAsync<Page<InstanceBody>>("/api/instances?tag=even")).Items.ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Status_and_worker_are_computed_from_the_last_heartbeat(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var device = await server.NewDeviceAsync("box", ["gpu"]);
        async Task<WorkerBody> WorkerAsync() => await server.Client.GetBodyAsync<WorkerBody>("/api/workers/worker:" + device.InstanceId);
        (await WorkerAsync()).Readiness.Reasons.ShouldBe(["offline"]);

        await server.Database.WriteAsync(tx => tx.ExecuteAsync(
            "UPDATE instances SET last_heartbeat_at = @now, max_concurrent = 3, labels = '{\"os\":\"linux\",\"arch\":\"amd64\"}' WHERE id = @InstanceId",
            new { now = clock.GetUtcNow().ToUnixTimeMilliseconds(), device.InstanceId }), Cancelled);
        var worker = await WorkerAsync();
        (worker.Id, worker.DisplayName, worker.Status, worker.Readiness.Ready).ShouldBe(("worker:" + device.InstanceId, "box agent", WorkerStatus.Ready, true));
        worker.Capacity.ShouldBe(new WorkerCapacity { MaxConcurrent = 3, Active = 0 });
        worker.Capabilities.ShouldBe(["arch=amd64", "os=linux", "tag:gpu"]);
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/box")).Status.ShouldBe(InstanceStatus.Online);

        (await (await server.Client.PostAsync("/api/instances/box/drain", null, Cancelled)).BodyAsync<InstanceBody>()).Draining.ShouldBeTrue();
        (await WorkerAsync()).Readiness.Reasons.ShouldBe(["draining"]);
        (await (await server.Client.PostAsync("/api/instances/box/drain", null, Cancelled)).BodyAsync<InstanceBody>()).Draining.ShouldBeTrue();
        (await (await server.Client.PostAsync("/api/instances/box/undrain", null, Cancelled)).BodyAsync<InstanceBody>()).Draining.ShouldBeFalse();

        clock.Advance(TimeSpan.FromSeconds(120));
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/box")).Status.ShouldBe(InstanceStatus.Offline);
        var unpaired = await server.NewInstanceAsync("new");
        (await server.Client.GetBodyAsync<WorkerBody>("/api/workers/" + unpaired.Id)).Readiness.Reasons.ShouldBe(["offline", "untrusted"]);
        (await server.Client.GetBodyAsync<Page<WorkerBody>>("/api/workers")).Items.Select(w => w.InstanceId).ShouldBe([device.InstanceId, unpaired.Id]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Removal_ends_the_session_and_the_key_and_is_audited(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var device = await server.NewDeviceAsync("box");
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("""
            INSERT INTO instance_sessions (id, instance_id, machine_id, boot_id, host_name, opened_at, last_seen) VALUES ('ses_1', @InstanceId, 'm', 'b', 'h', 0, 0)
            """, new { device.InstanceId }), Cancelled);
        await server.Client.DeleteAsync("/api/instances/box", Cancelled);
        var open = await server.Database.ReadAsync(s => s.ListAsync<string>("""
            SELECT id FROM instance_sessions WHERE ended_at IS NULL UNION ALL SELECT id FROM instance_keys WHERE revoked_at IS NULL
            """), Cancelled);
        open.ShouldBeEmpty();
        (await server.Database.ReadAsync(s => s.ListAsync<string>("SELECT action FROM audit_events ORDER BY id"), Cancelled)).ShouldContain("workstation.removed");
    }

    [Fact]
    public async Task Who_tags_waits_for_the_membership_before_holding_the_workstation()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Postgres);
        await server.SetDoctrineAsync(1, "approvals: [{ name: production, class: production_mutation, when: { tags: [production] } }]");
        var instance = await server.NewInstanceAsync();
        Task<HttpResponseMessage>? tagged = null;
        await server.Database.WriteAsync(async tx =>
        {
            // As the answer to an approval does, which a claim then waits for that wants the workstation.
            await tx.FirstAsync<string>("SELECT user_id FROM memberships WHERE organization_id = @OrganizationId FOR UPDATE", new { server.Owner.OrganizationId });
            tagged = server.Client.PatchJsonAsync("/api/instances/" + instance.Id, new UpdateInstanceRequest { AddTags = ["production"] });
            await server.BlockedAsync(tagged);
            tagged.IsCompleted.ShouldBeFalse();
            return await tx.FirstAsync<string>("SELECT id FROM instances WHERE id = @Id FOR UPDATE NOWAIT", new { instance.Id });
        }, Cancelled);
        (await (await tagged!).BodyAsync<InstanceBody>()).Tags.ShouldBe(["production"]);
    }
}
