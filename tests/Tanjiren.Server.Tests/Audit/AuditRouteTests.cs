using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Audit;

/// <summary>What admins read of the audit log, and that it is only their organization's.</summary>
public sealed class AuditRouteTests
{
    private const string Route = "/api/audit-events";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Filters_restrict_and_pages_join_without_a_gap(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var machines = new List<InstanceBody>();
        for (var i = 0; i < 5; i++) machines.Add(await server.NewInstanceAsync());
        (await server.Client.DeleteAsync("/api/instances/" + machines[2].Id, Cancelled)).EnsureSuccessStatusCode();
        var me = (await server.Client.GetBodyAsync<IdentityBody>("/api/auth/me")).UserId;

        var all = await ListAsync(server.Client, "");
        all.Select(r => r.Id).ShouldBe(all.Select(r => r.Id).OrderDescending(StringComparer.Ordinal), "newest first");
        all.ShouldAllBe(r => r.Actor == me || r.Action == "organization.created");
        var created = (await ListAsync(server.Client, "action=workstation.created")).Select(r => r.Subject).ToList();
        created.ShouldBe(all.Where(r => r.Action == "workstation.created").Select(r => r.Subject));
        created.ShouldBe(machines.Select(m => m.Id), ignoreOrder: true);
        (await ListAsync(server.Client, $"subject={machines[2].Id}")).Select(r => r.Action).ShouldBe(["workstation.removed", "workstation.created"]);
        (await ListAsync(server.Client, $"subject={machines[2].Id}&action=workstation.created&actor={me}")).ShouldHaveSingleItem();
        (await ListAsync(server.Client, "actor=nobody")).ShouldBeEmpty();
        var third = (await ListAsync(server.Client, $"subject={machines[3].Id}")).Single().At;
        string At(DateTimeOffset instant) => Uri.EscapeDataString(instant.ToString("O"));
        (await ListAsync(server.Client, $"from={At(third)}")).ShouldAllBe(r => r.At >= third);
        (await ListAsync(server.Client, $"from={At(third)}&to={At(third.AddMilliseconds(1))}")).ShouldContain(r => r.Subject == machines[3].Id);
        (await ListAsync(server.Client, $"to={At(third)}")).ShouldAllBe(r => r.At < third);

        var paged = new List<string>();
        for (string? cursor = null, next = ""; next is not null; cursor = next)
        {
            var page = await server.Client.GetBodyAsync<Page<AuditEventBody>>($"{Route}?limit=2{(cursor is null ? "" : "&cursor=" + cursor)}");
            paged.AddRange(page.Items.Select(r => r.Id));
            next = page.NextCursor;
        }
        paged.ShouldBe(all.Select(r => r.Id));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_export_is_sealed_up_to_its_moment_and_ends_in_the_head(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var machine = await server.NewInstanceAsync();
        var lines = await ExportAsync(server.Client);
        var report = SealedLines.Verify(lines);
        (report.Fault, report.Chain).ShouldBe((null, server.Owner.OrganizationId));
        lines.ShouldContain(line => line.Contains(machine.Id, StringComparison.Ordinal) && line.Contains("\"previousHash\"", StringComparison.Ordinal));
        var head = await server.Client.GetBodyAsync<AuditHead>(Route + "/head");
        (head.Sequence, AuditChain.IsSigned(head)).ShouldBe((report.Last, true));
        lines[^1].ShouldBe(SealedLines.Line(head));
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_organization_s_log_does_not_exist(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var ours = await server.NewInstanceAsync();
        var (organizationId, stranger) = await server.NewOrganizationAsync();
        using var _ = stranger;
        (await ListAsync(stranger, $"subject={ours.Id}")).ShouldBeEmpty();
        (await ListAsync(stranger, $"subject={server.Owner.OrganizationId}")).ShouldBeEmpty();
        var export = await ExportAsync(stranger);
        export.ShouldAllBe(line => !line.Contains(ours.Id, StringComparison.Ordinal));
        SealedLines.Verify(export).Chain.ShouldBe(organizationId);
        (await stranger.GetBodyAsync<AuditHead>(Route + "/head")).Chain.ShouldBe(organizationId);
    }

    [Theory]
    [InlineData("limit=0", "limit")]
    [InlineData("limit=x", "limit")]
    [InlineData("cursor=evt_1", "cursor")]
    [InlineData("from=yesterday", "from")]
    [InlineData("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to")]
    [InlineData("actor=%00", "actor")]
    public async Task A_bad_parameter_is_named(string query, string field)
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var problem = await server.Client.GetAsync($"{Route}?{query}", Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
        problem.Errors!.Keys.ShouldBe([field]);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_running_server_seals_by_itself(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await Eventually.TrueAsync(async () => (await ListAsync(server.Client, "")).All(r => r is { Version: 1, Sequence: > 0, Hash.Length: 64, PreviousHash.Length: 64 }));
    }

    private static async Task<IReadOnlyList<AuditEventBody>> ListAsync(HttpClient client, string query) =>
        (await client.GetBodyAsync<Page<AuditEventBody>>($"{Route}?limit=200&{query}")).Items;

    private static async Task<string[]> ExportAsync(HttpClient client) =>
        (await client.GetStringAsync(Route + "/export", Cancelled)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
}
