using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Records;

/// <summary>Investigations (I-01): a life of one, tasks that join, and changes that do not undo each other.</summary>
public sealed class InvestigationTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_is_opened_changed_closed_and_reopened_by_any_member_and_audited(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var member = await server.NewMemberAsync(Role.Member);
        using var viewer = await server.NewMemberAsync(Role.Viewer);
        var made = await (await member.PostJsonAsync("/api/investigations", new CreateInvestigationRequest { Title = " Slow ", Objective = "find it\nfast", Hypothesis = "the disk" })).BodyAsync<InvestigationBody>();
        (made.Title, made.Objective, made.Hypothesis, made.Findings, made.Status, made.Version).ShouldBe(("Slow", "find it\nfast", "the disk", null, InvestigationStatus.Open, 1));
        var path = "/api/investigations/" + made.Id;

        var changed = await (await server.Client.PatchJsonAsync(path, new UpdateInvestigationRequest { Version = 1, Findings = "the network", Hypothesis = "" })).BodyAsync<InvestigationBody>();
        (changed.Findings, changed.Hypothesis, changed.Objective, changed.Version).ShouldBe(("the network", null, "find it\nfast", 2));
        var closed = await (await member.PatchJsonAsync(path, new UpdateInvestigationRequest { Version = 2, Status = InvestigationStatus.Closed })).BodyAsync<InvestigationBody>();
        (closed.Status, closed.ClosedAt is not null).ShouldBe((InvestigationStatus.Closed, true));
        (await viewer.GetBodyAsync<Page<InvestigationBody>>("/api/investigations?status=open")).Items.ShouldBeEmpty();
        (await viewer.GetBodyAsync<Page<InvestigationBody>>("/api/investigations?status=closed")).Items.Single().Id.ShouldBe(made.Id);
        var open = await (await member.PatchJsonAsync(path, new UpdateInvestigationRequest { Version = 3, Status = InvestigationStatus.Open })).BodyAsync<InvestigationBody>();
        (open.Status, open.ClosedAt).ShouldBe((InvestigationStatus.Open, null));
        (await viewer.GetBodyAsync<InvestigationBody>(path)).ShouldBe(open);
        (await server.AuditAsync(made.Id)).ShouldBe(["investigation.created", "investigation.updated", "investigation.closed", "investigation.reopened"]);
        await viewer.PatchJsonAsync(path, new UpdateInvestigationRequest { Version = 4 }).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Of_two_who_change_what_both_read_one_is_told_and_nothing_is_lost(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var path = "/api/investigations/" + (await server.Client.NewInvestigationAsync()).Id;
        for (var round = 1; round <= 5; round++)
        {
            var answers = await Task.WhenAll(Enumerable.Range(0, 4).Select(n => server.Client.PatchJsonAsync(path, new UpdateInvestigationRequest { Version = round, Findings = $"{round}.{n}" })));
            var won = await answers.Single(a => a.StatusCode == HttpStatusCode.OK).BodyAsync<InvestigationBody>();
            foreach (var lost in answers.Where(a => a.StatusCode != HttpStatusCode.OK))
                (await lost.ProblemAsync(HttpStatusCode.Conflict, ErrorCode.VersionConflict)).CurrentState.ShouldBe((round + 1).ToString());
            (await server.Client.GetBodyAsync<InvestigationBody>(path)).ShouldBe(won);
        }
        (await server.Client.PatchJsonAsync(path, new UpdateInvestigationRequest { Title = "x" }).WrongFieldsAsync()).ShouldBe(["version"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Tasks_join_an_open_one_are_filtered_by_it_and_bring_their_artifacts(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        var investigation = await server.Client.NewInvestigationAsync();
        var inside = await server.Client.CreateTaskAsync(TaskCalls.On("box") with { InvestigationId = investigation.Id });
        var outside = await server.Client.CreateTaskAsync(agent);
        (inside.InvestigationId, outside.InvestigationId).ShouldBe((investigation.Id, null));
        (await server.Client.GetBodyAsync<Page<TaskBody>>("/api/tasks?investigation=" + investigation.Id)).Items.Select(t => t.Id).ShouldBe([inside.Id]);
        (await server.Client.GetAsync("/api/tasks?investigation=x", Cancelled).WrongFieldsAsync()).ShouldBe(["investigation"]);

        var note = await server.Client.AddAsync("/api/tasks/" + inside.Id, RecordCalls.Note());
        note.InvestigationId.ShouldBe(investigation.Id);
        await agent.ClaimAsync(inside.StepId());
        await agent.CompleteAsync(inside.StepId());
        (await server.Client.ArtifactsAsync("/api/investigations/" + investigation.Id)).Select(a => a.Kind).ShouldBe([ArtifactKind.Note, ArtifactKind.Summary], ignoreOrder: true);

        (await server.Client.PatchJsonAsync("/api/investigations/" + investigation.Id, new UpdateInvestigationRequest { Version = 1, Status = InvestigationStatus.Closed })).EnsureSuccessStatusCode();
        foreach (var id in new[] { investigation.Id, Ids.New(Ids.Investigation, TimeProvider.System), "a\0b" })
            (await server.Client.PostJsonAsync("/api/tasks", TaskCalls.On("box") with { InvestigationId = id }).WrongFieldsAsync()).ShouldBe(["investigationId"], id);
        // Evidence may come late.
        await server.Client.AddAsync("/api/investigations/" + investigation.Id, RecordCalls.Note());
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Only_one_that_nothing_belongs_to_is_deleted_and_by_its_maker_or_an_admin(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var agent = await server.NewAgentAsync("box");
        using var member = await server.NewMemberAsync(Role.Member);
        var (empty, full) = (await server.Client.NewInvestigationAsync(), await server.Client.NewInvestigationAsync());
        Task<HttpResponseMessage> DeleteAsync(HttpClient client, InvestigationBody one) => client.DeleteAsync("/api/investigations/" + one.Id, Cancelled);
        await server.Client.CreateTaskAsync(TaskCalls.On("box") with { InvestigationId = full.Id });
        var own = await member.NewInvestigationAsync();
        var note = await member.AddAsync("/api/investigations/" + own.Id, RecordCalls.Note());

        await DeleteAsync(member, empty).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.Forbidden);
        (await DeleteAsync(server.Client, empty)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await DeleteAsync(server.Client, empty).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await DeleteAsync(server.Client, full).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict)).CurrentState.ShouldBe("open");
        await DeleteAsync(member, own).ProblemAsync(HttpStatusCode.Conflict, ErrorCode.StateConflict);
        (await member.DeleteAsync("/api/artifacts/" + note.Id, Cancelled)).EnsureSuccessStatusCode();
        (await DeleteAsync(member, own)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.AuditAsync(own.Id)).ShouldBe(["investigation.created", "investigation.deleted"]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task They_are_listed_newest_first_and_named_fields_are_refused(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        List<string> made = [];
        for (var i = 0; i < 5; i++) made.Add((await server.Client.NewInvestigationAsync("i" + i)).Id);
        made.Sort(StringComparer.Ordinal);
        made.Reverse();
        var first = await server.Client.GetBodyAsync<Page<InvestigationBody>>("/api/investigations?limit=2");
        var second = await server.Client.GetBodyAsync<Page<InvestigationBody>>("/api/investigations?limit=3&cursor=" + first.NextCursor);
        first.Items.Concat(second.Items).Select(i => i.Id).ShouldBe(made);
        second.NextCursor.ShouldBeNull();
        (await server.Client.PostJsonAsync("/api/investigations", new CreateInvestigationRequest { Objective = "\0", Findings = new string('ü', WireLimits.MaxProseBytes / 2 + 1) }).WrongFieldsAsync())
            .ShouldBe(["findings", "objective", "title"]);
        (await server.Client.GetAsync("/api/investigations?status=x", Cancelled).WrongFieldsAsync()).ShouldBe(["status"]);
    }
}
