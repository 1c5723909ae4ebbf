using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;

using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary><c>webhook</c> against a real control plane with its loops, and a real receiver over TLS.</summary>
public sealed class WebhookCommandsTests : IAsyncLifetime
{
    private readonly TemporaryDirectory directory = new();
    private readonly TestAuthority authority = new();
    private readonly CliRun owner = new();
    private WebApplication server = null!;
    private TlsReceiver receiver = null!;

    public async ValueTask InitializeAsync()
    {
        receiver = await TlsReceiver.StartAsync(authority);
        server = ControlPlane.Build(new ControlPlaneOptions
        {
            Urls = ["http://127.0.0.1:0"], Database = "sqlite:" + directory.File("tanjiren.db"), OfferSetup = false, ConfigureLogging = logging => logging.ClearProviders(),
            Settings = new Dictionary<string, string?> { ["Tanjiren:Webhooks:AllowPrivate"] = "true", ["Tanjiren:Webhooks:TrustedCertificates"] = authority.File },
        });
        await server.StartAsync(TestContext.Current.CancellationToken);
        var local = await LocalWorkspace.EnsureAsync(server, TestContext.Current.CancellationToken);
        new CredentialFile(new TanvritHome(owner.Home)).Write(new Credentials().With("local", new WorkspaceCredential { Url = server.Urls.First(), Token = local.Token }));
    }

    public async ValueTask DisposeAsync()
    {
        await server.StopAsync();
        await server.DisposeAsync();
        await receiver.DisposeAsync();
        owner.Dispose();
        authority.Dispose();
        directory.Dispose();
    }

    [Fact]
    public async Task It_is_set_tried_told_of_an_approval_listed_and_removed()
    {
        (await owner.InvokeAsync("webhook", "show")).ShouldBe(125);
        owner.Error.Text.ShouldContain("This organization has no webhook.");
        (await owner.InvokeAsync("webhook", "set", receiver.Url)).ShouldBe(0, owner.Error.Text);
        var secret = owner.Output.Text.Trim();
        (await owner.InvokeAsync("webhook", "show")).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldMatch($"^url: +https://localhost:{receiver.Port}/hook");
        owner.Output.Text.ShouldNotContain("whsec_");

        (await owner.InvokeAsync("webhook", "test")).ShouldBe(0, owner.Error.Text);
        owner.Error.Text.ShouldMatch("^msg_[0-9a-z]{26} is delivered: the receiver answered 200\n$");
        Verify(receiver.Received.ShouldHaveSingleItem(), secret).Type.ShouldBe("webhook.test");

        (await owner.InvokeAsync("workstations", "create", "box")).ShouldBe(0, owner.Error.Text);
        (await owner.InvokeAsync("jobs", "run", "-d", "-w", "box", "--approval-class", "sensitive_write", "--", "echo", "between us")).ShouldBe(0, owner.Error.Text);
        var job = owner.Output.Text.Trim();
        await Eventually.TrueAsync(() => receiver.Received.Count == 2);
        var told = Verify(receiver.Received[1], secret);
        (told.Type, told.Data.TaskId, told.Data.Class, told.Data.Workspace).ShouldBe(("approval.pending", job, ApprovalClass.SensitiveWrite, "local"));
        receiver.Received[1].Body.ShouldNotContain("between us");
        told.Data.Url.ShouldEndWith("/api/tasks/" + job);

        (await owner.InvokeAsync("webhook", "deliveries")).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.Split('\n')[0].ShouldMatch("^EVENT +WHEN +STATE +TRIES +LAST +NEXT +ID$");
        owner.Output.Text.ShouldMatch(@"webhook\.test +\S+ \S+ \S+ +delivered +1 +200 +- +msg_");
        (await owner.InvokeAsync("webhook", "deliveries", "--limit", "1", "-o", "id")).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldBe(receiver.Received[1].Id + "\n");
        (await owner.InvokeAsync("webhook", "remove")).ShouldBe(125, "nobody said yes");
        (await owner.InvokeAsync("webhook", "remove", "--yes")).ShouldBe(0, owner.Error.Text);
        (await owner.InvokeAsync("webhook", "test")).ShouldBe(125);
    }

    [Fact]
    public async Task A_test_that_is_not_taken_says_why_and_an_address_that_can_not_be_is_refused()
    {
        receiver.AnswerWith(418);
        owner.Input = receiver.Url + "\n";
        (await owner.InvokeAsync("webhook", "set", "-", "--json")).ShouldBe(0, owner.Error.Text);
        JsonSerializer.Deserialize(owner.Output.Bytes, WireJson.Default.SavedWebhook)!.Secret.ShouldNotBeNull();
        (await owner.InvokeAsync("webhook", "test")).ShouldBe(1);
        owner.Error.Text.ShouldMatch("^msg_[0-9a-z]{26} is not delivered: 418; it is tried again\n$");
        (await owner.InvokeAsync("webhook", "test", "--json")).ShouldBe(1);
        JsonSerializer.Deserialize(owner.Output.Bytes, WireJson.Default.WebhookDeliveryBody)!.LastStatus.ShouldBe(418);

        (await owner.InvokeAsync("webhook", "set", receiver.Url)).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldBeEmpty();
        (await owner.InvokeAsync("webhook", "set", receiver.Url, "--rotate-secret")).ShouldBe(0, owner.Error.Text);
        owner.Output.Text.ShouldStartWith("whsec_");
        (await owner.InvokeAsync("webhook", "set", "http://localhost/")).ShouldBe(125);
        owner.Error.Text.ShouldContain("url: must be of the form https://");
    }

    /// <summary>As docs/concepts/webhooks.md tells receivers to.</summary>
    private static WebhookMessage Verify(ReceivedMessage message, string secret)
    {
        var key = Convert.FromBase64String(secret["whsec_".Length..]);
        var expected = HMACSHA256.HashData(key, Encoding.UTF8.GetBytes($"{message.Id}.{message.Timestamp}.{message.Body}"));
        message.Signature.ShouldBe("v1," + Convert.ToBase64String(expected));
        return JsonSerializer.Deserialize(message.Body, WireJson.Default.WebhookMessage)!;
    }
}
