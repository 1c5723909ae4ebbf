using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Governance;
using Tanjiren.Server.Tests.Organizations.Invitations;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Webhooks;

/// <summary>The routes: who may, what is shown, bad input, and that nothing crosses organizations.</summary>
public sealed class WebhookRouteTests
{
    /// <summary>Nothing is ever sent to it: no address is public.</summary>
    private const string Address = "https://receiver.invalid/hook?token=t0ken";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task It_is_set_shown_moved_and_removed_and_its_secret_is_shown_when_it_is_made(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var url = server.WebhookUrl();
        await server.Client.GetAsync(url, Token).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        var made = await SetAsync(server, Address);
        WebhookCalls.KeyOf(made.Secret!).Length.ShouldBe(32);
        var shown = await server.Client.GetAsync(url, Token);
        (await shown.Content.ReadAsStringAsync(Token)).ShouldNotContain("whsec_");
        (await shown.BodyAsync<WebhookBody>()).ShouldBe(made.Webhook);
        made.Webhook.Url.ShouldBe(Address);

        var moved = await SetAsync(server, "https://other.invalid/");
        (moved.Webhook.Url, moved.Secret, moved.Webhook.CreatedAt).ShouldBe(("https://other.invalid/", null, made.Webhook.CreatedAt));
        var rotated = await SetAsync(server, "https://other.invalid/", rotate: true);
        rotated.Secret.ShouldNotBeNull().ShouldNotBe(made.Secret);

        (await server.Client.DeleteAsync(url, Token)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await server.Client.DeleteAsync(url, Token).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await server.Client.PostAsync(url + "/test", null, Token).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await SetAsync(server, Address)).Secret.ShouldNotBeNull().ShouldNotBe(rotated.Secret);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Each_decision_is_in_the_audit_log_without_the_address_s_own_secrets(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await SetAsync(server, Address);
        await SetAsync(server, Address, rotate: true);
        await SetAsync(server, Address);
        var message = await server.TestWebhookAsync();
        (await server.Client.DeleteAsync(server.WebhookUrl(), Token)).EnsureSuccessStatusCode();
        var set = await server.AuditAsync("webhook.set");
        set.Select(row => row.Detail).ShouldBe(["https://receiver.invalid; new secret", "https://receiver.invalid; new secret", "https://receiver.invalid"], ignoreOrder: true);
        set.ShouldAllBe(row => row.OrganizationId == server.Owner.OrganizationId && row.Subject == server.Owner.OrganizationId && row.Actor.StartsWith("usr_"));
        (await server.AuditAsync("webhook.tested")).ShouldHaveSingleItem().Detail.ShouldBe(message.Id);
        (await server.AuditAsync("webhook.removed")).ShouldHaveSingleItem().Detail.ShouldStartWith("https://receiver.invalid; ");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_organization_has_no_webhook_for_anybody_here(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        var (otherId, other) = await server.NewOrganizationAsync();
        using var owner = other;
        (await owner.PutJsonAsync(server.WebhookUrl(otherId), new SetWebhookRequest { Url = Address })).EnsureSuccessStatusCode();
        await server.TestWebhookAsync(owner, otherId);

        var url = server.WebhookUrl(otherId);
        await server.Client.GetAsync(url, Token).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await server.Client.PutJsonAsync(url, new SetWebhookRequest { Url = "https://mine.invalid/" }).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await server.Client.DeleteAsync(url, Token).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await server.Client.PostAsync(url + "/test", null, Token).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await server.Client.GetAsync(url + "/deliveries", Token).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        await SetAsync(server, "https://mine.invalid/");
        (await server.Client.GetBodyAsync<Page<WebhookDeliveryBody>>(server.WebhookUrl() + "/deliveries")).Items.ShouldBeEmpty();
        (await owner.GetBodyAsync<WebhookBody>(url)).Url.ShouldBe(Address);
        (await owner.GetBodyAsync<Page<WebhookDeliveryBody>>(url + "/deliveries")).Items.Count.ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Bad_addresses_are_refused_and_nothing_is_set(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        foreach (var bad in new[] { null, "", "http://receiver.invalid/", "https://ann:pw@receiver.invalid/", "https://127.0.0.1/", "https://[::1]/" })
            (await server.Client.PutJsonAsync(server.WebhookUrl(), new SetWebhookRequest { Url = bad }).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["url"]);
        await server.Client.GetAsync(server.WebhookUrl(), Token).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task The_first_secret_is_made_once_when_admins_set_it_at_the_same_time(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        using var admin = await server.NewMemberAsync(Role.Admin);
        var both = await Task.WhenAll(new[] { server.Client, admin }.Select(async client =>
            await (await client.PutJsonAsync(server.WebhookUrl(), new SetWebhookRequest { Url = Address })).BodyAsync<SavedWebhook>()));
        both.Count(saved => saved.Secret is not null).ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Deliveries_are_paged_from_the_newest_and_tests_are_limited(DatabaseKind kind)
    {
        await using var server = await ServerFixture.StartAsync(kind);
        await SetAsync(server, Address);
        var sent = new List<string>();
        for (var i = 0; i < 10; i++) sent.Add((await server.TestWebhookAsync()).Id);
        var limited = await server.Client.PostAsync(server.WebhookUrl() + "/test", null, Token);
        await limited.ProblemAsync(HttpStatusCode.TooManyRequests, ErrorCode.RateLimited);
        limited.Headers.RetryAfter.ShouldNotBeNull();

        var listed = new List<string>();
        for (string? cursor = ""; cursor is not null;)
        {
            var page = await server.Client.GetBodyAsync<Page<WebhookDeliveryBody>>($"{server.WebhookUrl()}/deliveries?limit=4{(cursor == "" ? "" : "&cursor=" + cursor)}");
            page.Items.Count.ShouldBeInRange(2, 4);
            listed.AddRange(page.Items.Select(d => d.Id));
            cursor = page.NextCursor;
        }
        listed.ShouldBe(sent.OrderDescending(StringComparer.Ordinal));
        await server.Client.GetAsync(server.WebhookUrl() + "/deliveries?limit=0", Token).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed);
    }

    /// <summary>By the name of the host alone it is refused when it is used, not when it is set.</summary>
    [Fact]
    public async Task A_name_that_leads_to_loopback_is_set_and_never_reached()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        await SetAsync(server, "https://localhost:1/");
        await server.TestWebhookAsync();
        await Eventually.TrueAsync(async () => (await server.Client.GetBodyAsync<Page<WebhookDeliveryBody>>(server.WebhookUrl() + "/deliveries")).Items.Single().LastError
            == "its name leads to an address that is not public");
    }

    private static async Task<SavedWebhook> SetAsync(ServerFixture server, string address, bool rotate = false) =>
        await (await server.Client.PutJsonAsync(server.WebhookUrl(), new SetWebhookRequest { Url = address, RotateSecret = rotate ? true : null })).BodyAsync<SavedWebhook>();
}
