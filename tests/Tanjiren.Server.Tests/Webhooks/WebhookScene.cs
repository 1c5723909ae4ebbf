using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Governance;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Server.Webhooks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Webhooks;

/// <summary>A control plane on a clock that the test moves, which may send to loopback, and a receiver there. Its wall is stepped, so its own loops sleep on.</summary>
internal sealed class WebhookScene : IAsyncDisposable
{
    private readonly TestAuthority _authority;

    private WebhookScene(TestAuthority authority, ServerFixture server, TlsReceiver receiver, ManualTimeProvider clock) =>
        (_authority, Server, Receiver, Clock) = (authority, server, receiver, clock);

    public ServerFixture Server { get; }
    public TlsReceiver Receiver { get; }
    public ManualTimeProvider Clock { get; }

    public WebhookLoop Loop => Server.App.Services.GetRequiredService<WebhookLoop>();

    public string Url => Server.WebhookUrl();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static async Task<WebhookScene> StartAsync(DatabaseKind kind)
    {
        var (authority, clock) = (new TestAuthority(), new ManualTimeProvider());
        var server = await ServerFixture.StartAsync(kind, o => o with
        {
            Clock = clock,
            Settings = new Dictionary<string, string?> { ["Tanjiren:Webhooks:AllowPrivate"] = "true", ["Tanjiren:Webhooks:TrustedCertificates"] = authority.File },
        });
        var scene = new WebhookScene(authority, server, await TlsReceiver.StartAsync(authority), clock);
        // Its first pass is over and it sleeps on the clock: from here the test alone makes passes.
        await Eventually.TrueAsync(() => scene.Loop.Record.Status().Runs == 1);
        return scene;
    }

    public Task<TlsReceiver> NewReceiverAsync() => TlsReceiver.StartAsync(_authority);

    /// <summary>The bytes of the secret.</summary>
    public async Task<byte[]> SetAsync(HttpClient? owner = null, string? organizationId = null, TlsReceiver? receiver = null)
    {
        var saved = await (await (owner ?? Server.Client).PutJsonAsync(Server.WebhookUrl(organizationId), new SetWebhookRequest { Url = (receiver ?? Receiver).Url })).BodyAsync<SavedWebhook>();
        return WebhookCalls.KeyOf(saved.Secret!);
    }

    /// <summary>One more loop over the same database, as another server process has it.</summary>
    public WebhookLoop AnotherLoop() => ActivatorUtilities.CreateInstance<WebhookLoop>(Server.App.Services);

    /// <summary>A whole pass, with what it began.</summary>
    public async Task PassAsync()
    {
        await Loop.RunOnceAsync(Token);
        await Loop.SettleAsync();
    }

    public Task TestAsync(HttpClient? owner = null, string? organizationId = null) => Server.TestWebhookAsync(owner, organizationId);

    public async Task<WebhookDeliveryBody> OnlyAsync() => (await DeliveriesAsync()).ShouldHaveSingleItem();

    public async Task<IReadOnlyList<WebhookDeliveryBody>> DeliveriesAsync(HttpClient? owner = null, string? organizationId = null) =>
        (await (owner ?? Server.Client).GetBodyAsync<Page<WebhookDeliveryBody>>(Server.WebhookUrl(organizationId) + "/deliveries?limit=200")).Items;

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        await Receiver.DisposeAsync();
        _authority.Dispose();
    }
}

internal static class WebhookCalls
{
    public static string WebhookUrl(this ServerFixture server, string? organizationId = null) => $"/api/organizations/{organizationId ?? server.Owner.OrganizationId}/webhook";

    public static async Task<WebhookDeliveryBody> TestWebhookAsync(this ServerFixture server, HttpClient? owner = null, string? organizationId = null) =>
        await (await (owner ?? server.Client).PostAsync(server.WebhookUrl(organizationId) + "/test", null, TestContext.Current.CancellationToken)).BodyAsync<WebhookDeliveryBody>();

    public static async Task<TaskBody> AskAsync(this ServerFixture server, string command = "true") =>
        await server.Client.CreateTaskAsync(TaskCalls.On("box") with { Command = new CommandSpec { Argv = [command] }, ApprovalClass = ApprovalClass.SensitiveWrite });

    public static byte[] KeyOf(string secret)
    {
        secret.ShouldStartWith("whsec_");
        return Convert.FromBase64String(secret["whsec_".Length..]);
    }

    /// <summary>What it says, once its signature is checked as a receiver does it.</summary>
    public static WebhookMessage Verify(this ReceivedMessage message, byte[] secret)
    {
        message.Signature.ShouldBe(WebhookRules.Sign(secret, message.Id, long.Parse(message.Timestamp, CultureInfo.InvariantCulture), message.Body));
        return JsonSerializer.Deserialize(message.Body, WireJson.Default.WebhookMessage)!;
    }
}
