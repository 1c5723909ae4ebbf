using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tasks;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Server.Workstations;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Governance;

public sealed class DoctrineGateTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_version_is_compiled_once_and_the_newest_decides(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gate = server.App.Services.GetRequiredService<DoctrineGate>();
        var organization = server.Owner.OrganizationId;
        async Task<(int Version, Doctrine Doctrine)> AtAsync(int? version = null) => await server.Database.ReadAsync(sql => gate.AtAsync(sql, organization, version), Cancelled);

        var compiled = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => AtAsync())));
        compiled.ShouldAllBe(c => c.Version == 1 && ReferenceEquals(c.Doctrine, compiled[0].Doctrine));

        await server.SetDoctrineAsync(1, Doctrines.Approval("tags: production"));
        var newest = await AtAsync();
        newest.Version.ShouldBe(2);
        newest.Doctrine.Rules.Count.ShouldBe(1);
        (await AtAsync(2)).Doctrine.ShouldBeSameAs(newest.Doctrine);
        (await AtAsync(1)).Doctrine.ShouldBeSameAs(compiled[0].Doctrine);
        await Should.ThrowAsync<InvalidOperationException>(() => AtAsync(3));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_version_that_was_never_committed_decides_nothing(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gate = server.App.Services.GetRequiredService<DoctrineGate>();
        await Should.ThrowAsync<IOException>(() => server.Database.WriteAsync<int>(async tx =>
        {
            await DoctrineCalls.InsertVersionAsync(tx, server.Owner.OrganizationId, 2, "");
            (await gate.AtAsync(tx, server.Owner.OrganizationId, null)).Version.ShouldBe(2);
            throw new IOException("the disk is full");
        }, Cancelled));
        await server.WriteVersionAsync(2, Doctrines.Approval("tags: production"));
        foreach (var _ in Enumerable.Range(0, 2))
        {
            var (version, doctrine) = await server.Database.WriteAsync(tx => gate.AtAsync(tx, server.Owner.OrganizationId, null), Cancelled);
            (version, doctrine.Rules.Count).ShouldBe((2, 1));
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_question_is_decided_by_its_own_organization_origin_and_version(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gate = server.App.Services.GetRequiredService<DoctrineGate>();
        var (other, client) = await server.NewOrganizationAsync();
        using var _ = client;
        await server.SetDoctrineAsync(1, "approvals:\n  - { name: nightly, class: production_mutation, when: { origin: [schedule], pattern: '^make test$' } }\n");
        var question = new DoctrineQuestion(server.Owner.OrganizationId, new CreateTaskRequest { Command = new CommandSpec { Argv = ["make", "test"] } }, [["gpu"], ["production"]],
            Role.Member, TaskOrigin.Request with { ScheduleId = "sch_x", RunbookId = "rb_x" }, Doctrines.Noon);
        Task<DoctrineDecision> DecideAsync(DoctrineQuestion asked) => server.Database.ReadAsync(sql => gate.DecideAsync(sql, asked), Cancelled);

        (await DecideAsync(question)).ShouldSatisfyAllConditions(d => d.Class.ShouldBe(ApprovalClass.ProductionMutation), d => d.Version.ShouldBe(2), d => d.Findings.ShouldHaveSingleItem().Rule.ShouldBe("nightly"));
        (await DecideAsync(question with { AtVersion = 1 })).Class.ShouldBe(ApprovalClass.None);
        (await DecideAsync(question with { Origin = TaskOrigin.Request })).Class.ShouldBe(ApprovalClass.None);
        (await DecideAsync(question with { Spec = new CreateTaskRequest { Command = new CommandSpec { Shell = "make test" } } })).Class.ShouldBe(ApprovalClass.ProductionMutation);
        (await DecideAsync(question with { Spec = new CreateTaskRequest { Mode = TaskMode.Prompt, PromptText = "make test" } })).Class.ShouldBe(ApprovalClass.ProductionMutation);
        (await DecideAsync(question with { OrganizationId = other })).Findings.ShouldHaveSingleItem().Rule.ShouldBe("production", "of what it began with");
        (await DecideAsync(question with { OrganizationId = "org_nobody" })).ShouldSatisfyAllConditions(d => d.Class.ShouldBe(ApprovalClass.None), d => d.Version.ShouldBe(0));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_version_that_this_server_can_not_read_lets_nothing_start_until_it_can(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gate = server.App.Services.GetRequiredService<DoctrineGate>();
        var organization = server.Owner.OrganizationId;
        await server.WriteVersionAsync(2, "later: []");
        var unread = await Should.ThrowAsync<UnreadableDoctrineException>(() => server.Database.ReadAsync(sql => gate.AtAsync(sql, organization, null), Cancelled));
        (unread.Version, unread.Fault.Line).ShouldBe((2, 1));
        unread.Message.ShouldContain($"version 2 of the doctrine of {organization}");
        var question = new DoctrineQuestion(organization, new CreateTaskRequest { Command = new CommandSpec { Shell = "true" } }, [[]], Role.Member, TaskOrigin.Request, Doctrines.Noon);
        var decision = await server.Database.ReadAsync(sql => gate.DecideAsync(sql, question), Cancelled);
        (decision.FreezeRefuses, decision.FrozenUntil, decision.Version, decision.SelfApproval, decision.Inherit).ShouldBe((true, Doctrines.Noon.AddMinutes(1), 2, false, false));
        decision.Findings.ShouldHaveSingleItem().Because.ShouldStartWith("this server can't read version 2 of it: line 1");
        (await server.Client.PostJsonAsync(server.DoctrineUrl() + "/evaluate", new EvaluateDoctrineRequest()).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed))
            .Errors!.Keys.ShouldBe(["version"]);

        // As after the zone was installed: nothing of the failure is kept.
        await server.Database.WriteAsync(tx => tx.ExecuteAsync("UPDATE doctrine_versions SET document = '# read' WHERE version = 2"), Cancelled);
        (await server.Database.ReadAsync(sql => gate.DecideAsync(sql, question), Cancelled)).FrozenUntil.ShouldBeNull();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Organizations_with_the_same_words_share_what_is_compiled(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gate = server.App.Services.GetRequiredService<DoctrineGate>();
        var (first, one) = await server.NewOrganizationAsync();
        var (second, other) = await server.NewOrganizationAsync();
        using (one)
        using (other)
        {
            async Task<Doctrine> AtAsync(string organization) => (await server.Database.ReadAsync(sql => gate.AtAsync(sql, organization, null), Cancelled)).Doctrine;
            var shared = await AtAsync(first);
            (await AtAsync(second)).ShouldBeSameAs(shared);
            (await AtAsync(server.Owner.OrganizationId)).ShouldNotBeSameAs(shared);
            await server.SetDoctrineAsync(1, StartDoctrine.Shared);
            (await AtAsync(server.Owner.OrganizationId)).ShouldBeSameAs(shared);
        }
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_transaction_makes_no_pattern_and_reads_nothing_long_but_begins_anew_after_the_reading(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gate = server.App.Services.GetRequiredService<DoctrineGate>();
        gate.Budgets = (Doctrines.Ample, Doctrines.Ample);
        await server.WriteVersionAsync(2, Doctrines.Approval("pattern: [" + string.Join(", ", Enumerable.Range(0, 20).Select(i => $"needle{i}$")) + "]"));
        var now = Doctrines.Noon;
        async Task<(int Begun, ApprovalClass Class)> DecideAsync(string text)
        {
            var begun = 0;
            var question = new DoctrineQuestion(server.Owner.OrganizationId, new CreateTaskRequest { Command = new CommandSpec { Shell = text } }, [[]], Role.Member, TaskOrigin.Request, now);
            var decision = await server.Database.WriteAsync(tx =>
            {
                begun++;
                return gate.DecideAsync(tx, question);
            }, Cancelled);
            return (begun, decision.Class);
        }

        (await DecideAsync("make")).ShouldBe((2, ApprovalClass.None), "nothing was made yet");
        (await DecideAsync("make test")).ShouldBe((1, ApprovalClass.None));
        (await DecideAsync("a needle3")).ShouldBe((2, ApprovalClass.SensitiveWrite), "that one was not made");
        (await DecideAsync("the needle3")).ShouldBe((1, ApprovalClass.SensitiveWrite));

        var hay = new string('x', 10_000);
        (await DecideAsync(hay)).ShouldBe((2, ApprovalClass.None), "it is long");
        (await DecideAsync(hay)).ShouldBe((1, ApprovalClass.None), "it was read");
        now += TimeSpan.FromMinutes(1);
        (await DecideAsync(hay)).ShouldBe((2, ApprovalClass.None), "a minute ago");
        (await DecideAsync(new string('x', 70_000))).ShouldBe((1, ApprovalClass.SensitiveWrite), "no pattern reads it");
        gate.Budgets = (TimeSpan.Zero, Doctrines.Ample);
        (await DecideAsync("make nothing")).ShouldBe((2, ApprovalClass.None), "no time was left for it inside");
        gate.Budgets = (TimeSpan.Zero, TimeSpan.Zero);
        (await DecideAsync("make it")).ShouldBe((2, ApprovalClass.SensitiveWrite), "nor outside: this one is decided by what is known, and not tried without an end");
        gate.Budgets = (TimeSpan.Zero, Doctrines.Ample);
        (await DecideAsync("make it")).ShouldBe((2, ApprovalClass.None), "a reading that ran out of its time is believed by nobody else");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_was_read_of_a_text_counts_for_a_minute_also_for_who_only_looks(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gate = server.App.Services.GetRequiredService<DoctrineGate>();
        await server.WriteVersionAsync(2, Doctrines.Approval("tags: production, pattern: ['^x+$', " + string.Join(", ", Enumerable.Range(0, 20).Select(i => $"n{i}")) + "]"));
        var hay = new string('x', 10_000) + "y";
        var now = Doctrines.Noon;
        async Task<(int Begun, ApprovalClass Class)> DecideAsync(string[] tags, bool look)
        {
            var begun = 0;
            var question = new DoctrineQuestion(server.Owner.OrganizationId, new CreateTaskRequest { Command = new CommandSpec { Shell = hay } }, [tags], Role.Member, TaskOrigin.Request, now);
            Task<DoctrineDecision> AskAsync(SqlSession sql)
            {
                begun++;
                return gate.DecideAsync(sql, question);
            }
            var decision = look ? await server.Database.ReadAsync(AskAsync, Cancelled) : await server.Database.WriteAsync(tx => AskAsync(tx), Cancelled);
            return (begun, decision.Class);
        }

        // Nothing can be read within no time, and what is not read counts as a match: so whatever says that there is none was not read anew.
        gate.Budgets = (Doctrines.Ample, Doctrines.Ample);
        (await DecideAsync(["production"], look: true)).ShouldBe((1, ApprovalClass.None));
        gate.Budgets = (TimeSpan.Zero, TimeSpan.Zero);
        (await DecideAsync(["production"], look: true)).ShouldBe((1, ApprovalClass.None), "it was read by who looked before");
        (await DecideAsync(["production", "more"], look: true)).ShouldBe((1, ApprovalClass.None), "the reading is of the text, whatever the tags");
        (await DecideAsync(["production"], look: false)).ShouldBe((1, ApprovalClass.None), "and a transaction has it too");
        now += TimeSpan.FromMinutes(1);
        (await DecideAsync(["production"], look: true)).ShouldBe((1, ApprovalClass.SensitiveWrite), "a minute ago");

        // The other way round: what a transaction had read.
        now += TimeSpan.FromMinutes(1);
        gate.Budgets = (Doctrines.Ample, Doctrines.Ample);
        (await DecideAsync(["production"], look: false)).ShouldBe((2, ApprovalClass.None));
        gate.Budgets = (TimeSpan.Zero, TimeSpan.Zero);
        (await DecideAsync(["production"], look: true)).ShouldBe((1, ApprovalClass.None));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task What_has_changed_while_the_text_was_read_is_judged_as_it_is(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var gate = server.App.Services.GetRequiredService<DoctrineGate>();
        gate.Budgets = (Doctrines.Ample, Doctrines.Ample);
        await server.WriteVersionAsync(2, Doctrines.Approval("tags: production, pattern: ['^x+$', " + string.Join(", ", Enumerable.Range(0, 20).Select(i => $"n{i}")) + "]"));
        var begun = 0;
        var decision = await server.Database.WriteAsync(tx =>
        {
            // Tagged by somebody in between: what the tag brings into play is read outside too.
            string[] tags = ++begun == 1 ? [] : ["production"];
            return gate.DecideAsync(tx, new DoctrineQuestion(server.Owner.OrganizationId, new CreateTaskRequest { Command = new CommandSpec { Shell = new string('x', 10_000) } },
                [tags], Role.Member, TaskOrigin.Request, Doctrines.Noon));
        }, Cancelled);
        (begun, decision.Class).ShouldBe((3, ApprovalClass.SensitiveWrite));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task While_the_doctrine_can_not_be_read_tags_come_and_go_by_admins_only(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.NewInstanceAsync("box");
        using var member = await server.NewMemberAsync(Role.Member);
        var me = await member.GetBodyAsync<IdentityBody>("/api/auth/me");
        await server.WriteVersionAsync(2, "later: []");
        // Past the admission, as somebody who was an admin when the request came.
        var caller = new Caller(me.UserId, me.Email, me.Organization.Id, me.Organization.Name, Role.Admin, "", "127.0.0.1");
        var service = server.App.Services.GetRequiredService<InstanceService>();
        var outcome = await service.UpdateAsync(caller, "box", new UpdateInstanceRequest { AddTags = ["gpu"] }, Cancelled);
        outcome.Change.ShouldBe(InstanceChange.TagGuarded);
        outcome.Why.ShouldNotBeNull().ShouldStartWith("This server can't read version 2 of the organization's doctrine");
        (await (await server.Client.PatchJsonAsync("/api/instances/box", new UpdateInstanceRequest { AddTags = ["gpu"] })).BodyAsync<InstanceBody>()).Tags.ShouldBe(["gpu"]);
    }

    [Fact]
    public void One_too_many_puts_out_only_what_was_asked_for_longest_ago()
    {
        var kept = new RecentlyUsed<string, int>(3);
        foreach (var (key, value) in new[] { ("a", 1), ("b", 2), ("c", 3) }) kept.GetOrAdd(key, value).ShouldBe(value);
        kept.TryGet("a", out _).ShouldBeTrue();
        kept.GetOrAdd("b", 9).ShouldBe(2);
        kept.GetOrAdd("d", 4).ShouldBe(4);
        kept.TryGet("c", out _).ShouldBeFalse();
        foreach (var key in new[] { "a", "b", "d" }) kept.TryGet(key, out _).ShouldBeTrue(key);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Who_is_no_admin_any_more_when_the_document_is_compiled_writes_no_version(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var store = server.App.Services.GetRequiredService<DoctrineStore>();
        using var member = await server.NewMemberAsync(Role.Member);
        var me = await member.GetBodyAsync<IdentityBody>("/api/auth/me");
        // Past the admission, as somebody who was an admin when the request came.
        var caller = new Caller(me.UserId, me.Email, me.Organization.Id, me.Organization.Name, Role.Admin, "", "127.0.0.1");
        Task<DoctrineOutcome> SetAsync(Caller by) => server.Database.WriteAsync(tx => store.SetAsync(tx, by, "# mine\n", 1), Cancelled);

        foreach (var by in new[] { caller, caller with { UserId = "usr_gone" } })
        {
            var outcome = await SetAsync(by);
            (outcome.Change, outcome.Why is null).ShouldBe((DoctrineChange.Forbidden, false));
        }
        (await server.Client.GetBodyAsync<DoctrineBody>(server.DoctrineUrl())).Version.ShouldBe(1);
        (await server.AuditAsync("doctrine.changed")).ShouldBeEmpty();
        (await server.Client.PatchJsonAsync($"/api/organizations/{me.Organization.Id}/members/{me.UserId}", new UpdateMemberRequest { Role = Role.Admin })).EnsureSuccessStatusCode();
        (await SetAsync(caller)).Change.ShouldBe(DoctrineChange.Applied);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_tag_that_a_rule_names_comes_and_goes_by_admins_only(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.SetDoctrineAsync(1, Doctrines.Approval("tags: [production, staging]"));
        await server.NewInstanceAsync("box", ["production", "gpu"]); // an admin may
        using var member = await server.NewMemberAsync(Role.Member);
        var me = await member.GetBodyAsync<IdentityBody>("/api/auth/me");
        // Past the admission, as somebody who was an admin when the request came.
        var caller = new Caller(me.UserId, me.Email, me.Organization.Id, me.Organization.Name, Role.Admin, "", "127.0.0.1");
        var service = server.App.Services.GetRequiredService<InstanceService>();
        Task<InstanceOutcome> UpdateAsync(UpdateInstanceRequest request) => service.UpdateAsync(caller, "box", request, Cancelled);

        (await UpdateAsync(new UpdateInstanceRequest { RemoveTags = ["gpu"], AddTags = ["cpu"] })).Change.ShouldBe(InstanceChange.Applied);
        (await UpdateAsync(new UpdateInstanceRequest { AddTags = ["production"], Name = "box" })).Change.ShouldBe(InstanceChange.AlreadyDone, "it has the tag already");
        foreach (var request in new[] { new UpdateInstanceRequest { RemoveTags = ["production"] }, new UpdateInstanceRequest { AddTags = ["staging"] }, new UpdateInstanceRequest { Tags = [] } })
        {
            var outcome = await UpdateAsync(request);
            outcome.Change.ShouldBe(InstanceChange.TagGuarded);
            outcome.Why.ShouldBe($"The tag '{(request.AddTags is null ? "production" : "staging")}' is named by the rule 'rule' of the organization's doctrine: only admins set and remove it.");
        }
        (await service.CreateAsync(caller, "new", ["staging"], null, null, Cancelled)).Change.ShouldBe(InstanceChange.TagGuarded);
        (await service.CreateAsync(caller, "new", ["cpu"], null, null, Cancelled)).Change.ShouldBe(InstanceChange.Applied);
        (await server.Client.GetBodyAsync<InstanceBody>("/api/instances/box")).Tags.ShouldBe(["cpu", "production"]);

        // The same person as an admin again.
        (await server.Client.PatchJsonAsync($"/api/organizations/{me.Organization.Id}/members/{me.UserId}", new UpdateMemberRequest { Role = Role.Admin })).EnsureSuccessStatusCode();
        (await UpdateAsync(new UpdateInstanceRequest { Tags = ["staging"] })).Change.ShouldBe(InstanceChange.Applied);
    }
}
