using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Governance;

public sealed class DoctrineRouteTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_personal_organization_begins_without_rules_and_a_shared_one_with_some(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var personal = await server.Client.GetBodyAsync<DoctrineBody>(server.DoctrineUrl());
        (personal.Version, personal.Document, personal.CreatedBy).ShouldBe((1, StartDoctrine.Personal, null));
        var (organizationId, owner) = await server.NewOrganizationAsync();
        using var client = owner;
        var shared = await client.GetBodyAsync<DoctrineBody>(server.DoctrineUrl(organizationId));
        (shared.Version, shared.Document).ShouldBe((1, StartDoctrine.Shared));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Organizations_from_before_there_were_doctrines_go_on_without_rules(DatabaseKind kind)
    {
        await using var database = await TestDatabase.CreateAsync(kind);
        await using (var old = await ServerFixture.StartAsync(database.Url))
        {
            await old.Database.WriteAsync(async tx =>
            {
                await tx.ExecuteAsync("DROP TABLE doctrine_versions");
                await tx.ExecuteAsync("DELETE FROM schema_migrations WHERE script = '0006_doctrine.sql'");
            }, Cancelled);
        }
        await using var server = await ServerFixture.StartAsync(database.Url);
        var doctrine = await server.Client.GetBodyAsync<DoctrineBody>(server.DoctrineUrl());
        (doctrine.Version, doctrine.CreatedBy).ShouldBe((1, null));
        Doctrines.Read(doctrine.Document).Rules.ShouldBeEmpty();
        (await server.SetDoctrineAsync(1, "# next\n")).Version.ShouldBe(2);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Every_version_is_kept_with_who_and_when_and_every_member_reads_them(DatabaseKind kind)
    {
        var clock = new ManualTimeProvider();
        await using var server = await ServerFixture.StartAsync(kind, o => o with { Clock = clock });
        using var admin = await server.NewMemberAsync(Role.Admin);
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        var me = await admin.GetBodyAsync<IdentityBody>("/api/auth/me");
        for (var version = 2; version <= 4; version++)
        {
            clock.Advance(TimeSpan.FromMinutes(1));
            var set = await (await admin.PutJsonAsync(server.DoctrineUrl(), new SetDoctrineRequest { BasedOn = version - 1, Document = $"# {version}\n" })).BodyAsync<DoctrineBody>();
            set.ShouldBe(new DoctrineBody { Version = version, Document = $"# {version}\n", CreatedAt = clock.GetUtcNow(), CreatedBy = me.UserId, CreatedByEmail = me.Email });
        }
        (await viewer.GetBodyAsync<DoctrineBody>(server.DoctrineUrl())).Document.ShouldBe("# 4\n");
        (await viewer.GetBodyAsync<DoctrineBody>(server.DoctrineUrl() + "/versions/2")).Document.ShouldBe("# 2\n");
        var page = await viewer.GetBodyAsync<Page<DoctrineVersionBody>>(server.DoctrineUrl() + "/versions?limit=3");
        page.Items.Select(v => (v.Version, v.CreatedByEmail)).ShouldBe([(4, me.Email), (3, me.Email), (2, me.Email)]);
        var last = await viewer.GetBodyAsync<Page<DoctrineVersionBody>>(server.DoctrineUrl() + "/versions?cursor=" + page.NextCursor);
        (last.Items.ShouldHaveSingleItem().Version, last.NextCursor).ShouldBe((1, null));
        foreach (var version in new[] { "5", "0", "-1", "x", "99999999999999999999" })
            await viewer.GetAsync(server.DoctrineUrl() + "/versions/" + version, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await viewer.GetAsync(server.DoctrineUrl() + "/versions?cursor=eA", Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);

        (await server.AuditAsync("doctrine.changed")).Select(row => (row.OrganizationId, row.Actor, row.Subject, row.Detail, row.Address)).ShouldBe(Enumerable.Range(2, 3)
            .Select(v => (server.Owner.OrganizationId, me.UserId, server.Owner.OrganizationId, $"version {v}, based on {v - 1}", (string?)"127.0.0.1")));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_two_changes_of_one_version_one_wins_and_the_other_is_told(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        for (var round = 1; round <= 4; round++)
        {
            var answers = await Task.WhenAll(Enumerable.Range(0, 5).Select(i =>
                server.Client.PutJsonAsync(server.DoctrineUrl(), new SetDoctrineRequest { BasedOn = round, Document = $"# {round} {i}\n" })));
            answers.Count(a => a.StatusCode == HttpStatusCode.OK).ShouldBe(1);
            foreach (var lost in answers.Where(a => a.StatusCode != HttpStatusCode.OK))
                (await lost.ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe((round + 1).ToString());
        }
        (await server.AuditAsync("doctrine.changed")).Count.ShouldBe(4);
        await server.Client.PutJsonAsync(server.DoctrineUrl(), new SetDoctrineRequest { BasedOn = 6, Document = "# from the future\n" }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_repeated_change_is_answered_again_and_one_that_changes_nothing_writes_nothing(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        for (var i = 0; i < 2; i++) (await server.SetDoctrineAsync(1, "# new\n")).Version.ShouldBe(2);
        (await server.SetDoctrineAsync(2, "# new\n")).Version.ShouldBe(2);
        (await server.AuditAsync("doctrine.changed")).Count.ShouldBe(1);
        // Somebody else with the same words from the same version made no change that could be lost, but is not the one who made it either.
        using var admin = await server.NewMemberAsync(Role.Admin);
        await admin.PutJsonAsync(server.DoctrineUrl(), new SetDoctrineRequest { BasedOn = 1, Document = "# new\n" }).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_bad_document_is_refused_whole_with_lines_and_columns(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        Task<HttpResponseMessage> SetAsync(string? document, int? basedOn = 1) => server.Client.PutJsonAsync(server.DoctrineUrl(), new SetDoctrineRequest { Document = document, BasedOn = basedOn });
        var problem = await SetAsync("forbid:\n  - { name: a, when: { pattern: '(' } }\n  - { name: b, when: { mode: x } }\n").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
        problem.Errors!["document"].Select(e => e.Split(':')[0]).ShouldBe(["line 2, column 33", "line 3, column 30"]);
        (await SetAsync(null, null).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["basedOn", "document"]);
        await SetAsync("# \0\n").ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
        (await server.Client.GetBodyAsync<DoctrineBody>(server.DoctrineUrl())).Version.ShouldBe(1);
        (await server.AuditAsync("doctrine.changed")).ShouldBeEmpty();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_task_that_nobody_made_is_judged_for_named_workstations_and_for_tags(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await server.SetDoctrineAsync(1, """
            forbid:
              - { name: wipe, when: { pattern: wipe } }
            approvals:
              - { name: production, class: production_mutation, when: { tags: production } }
              - { name: viewers, class: sensitive_write, when: { role: viewer } }
              - { name: agents, class: sensitive_write, when: { mode: prompt, pattern: deploy } }
            freeze:
              - { name: noon, cron: '0 12 * * *', duration: 1h, when: { origin: schedule } }
            """);
        await server.NewInstanceAsync("web", ["production"]);
        await server.NewInstanceAsync("lab");
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        async Task<DoctrineDecisionBody> AskAsync(HttpClient client, EvaluateDoctrineRequest request) => await (await client.PostJsonAsync(server.DoctrineUrl() + "/evaluate", request)).BodyAsync<DoctrineDecisionBody>();
        var make = new EvaluateDoctrineRequest { Command = new CommandSpec { Argv = ["make"] }, At = Doctrines.Noon.AddHours(3) };

        (await AskAsync(server.Client, make)).ShouldSatisfyAllConditions(d => d.Class.ShouldBe(ApprovalClass.None), d => d.Version.ShouldBe(2), d => d.Findings.ShouldBeEmpty());
        (await AskAsync(server.Client, make with { Workstations = ["lab"] })).Class.ShouldBe(ApprovalClass.None);
        var production = await AskAsync(server.Client, make with { Workstations = ["lab", "web"] });
        production.Class.ShouldBe(ApprovalClass.ProductionMutation);
        production.Findings.ShouldHaveSingleItem().ShouldBe(new DoctrineFindingBody { Rule = "production", Effect = "production_mutation", Because = "a workstation that could run it is tagged production" });
        (await AskAsync(server.Client, make with { Workstations = ["web"], Version = 1 })).Class.ShouldBe(ApprovalClass.None);
        (await AskAsync(server.Client, make with { Tags = ["production"] })).Class.ShouldBe(ApprovalClass.ProductionMutation);
        (await AskAsync(viewer, make)).Class.ShouldBe(ApprovalClass.SensitiveWrite, "by the role of who asks");
        (await AskAsync(viewer, make with { Role = Role.Member })).Class.ShouldBe(ApprovalClass.None);
        (await AskAsync(server.Client, make with { Command = new CommandSpec { Shell = "wipe it" } })).Forbidden.ShouldBeTrue();
        (await AskAsync(server.Client, new EvaluateDoctrineRequest { Mode = TaskMode.Prompt, Prompt = "deploy it" })).Class.ShouldBe(ApprovalClass.SensitiveWrite);
        var frozen = await AskAsync(server.Client, make with { Origin = DoctrineOrigin.Schedule, At = Doctrines.Noon.AddMinutes(10) });
        (frozen.FrozenUntil, frozen.FreezeRefuses).ShouldBe((Doctrines.Noon.AddHours(1), false));

        foreach (var (request, field) in new[]
        {
            (make with { Workstations = ["nowhere"] }, "workstations[0]"), (make with { Tags = ["No"] }, "tags[0]"), (make with { Version = 3 }, "version"), (make with { Prompt = "x" }, "prompt"),
            (make with { Command = new CommandSpec() }, "command"), (make with { Mode = TaskMode.Prompt }, "command"), (make with { At = DateTimeOffset.MinValue }, "at"),
        })
            (await server.Client.PostJsonAsync(server.DoctrineUrl() + "/evaluate", request).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe([field]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Nothing_crosses_organizations(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (organizationId, owner) = await server.NewOrganizationAsync();
        using var stranger = owner;
        var local = server.DoctrineUrl();
        foreach (var path in new[] { "", "/versions", "/versions/1" }) await stranger.GetAsync(local + path, Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await stranger.PutJsonAsync(local, new SetDoctrineRequest { BasedOn = 1, Document = "# mine now\n" }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await stranger.PostJsonAsync(local + "/evaluate", new EvaluateDoctrineRequest()).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await server.NewInstanceAsync("web", ["production"]);
        await stranger.PostJsonAsync(server.DoctrineUrl(organizationId) + "/evaluate", new EvaluateDoctrineRequest { Workstations = ["web"] }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
        (await server.Client.GetBodyAsync<DoctrineBody>(local)).Version.ShouldBe(1);
        (await server.AuditAsync("doctrine.changed")).ShouldBeEmpty();
    }
}
