using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Tanjiren.Server.Webhooks;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Webhooks;

/// <summary>One try, over real TLS on loopback; names lead where the test says.</summary>
public sealed class WebhookSenderTests : IAsyncLifetime
{
    private static readonly byte[] Secret = [1, 2, 3];

    private readonly TestAuthority _authority = new();
    private readonly ManualTimeProvider _clock = new();
    private readonly List<string> _lookedUp = [];
    private TlsReceiver _receiver = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _receiver = await TlsReceiver.StartAsync(_authority);

    public async ValueTask DisposeAsync()
    {
        await _receiver.DisposeAsync();
        _authority.Dispose();
    }

    [Fact]
    public async Task A_message_is_signed_for_its_own_instant_and_says_nothing_else()
    {
        using var sender = Sender();
        (await SendAsync(sender)).ShouldBe(new SendResult(200, null));
        var got = _receiver.Received.ShouldHaveSingleItem();
        (got.Method, got.Id, got.Body, got.Timestamp).ShouldBe(("POST", "msg_1", "{}", _clock.GetUtcNow().ToUnixTimeSeconds().ToString()));
        got.Signature.ShouldBe(WebhookRules.Sign(Secret, "msg_1", _clock.GetUtcNow().ToUnixTimeSeconds(), "{}"));
        got.Headers.Keys.ShouldBe(["Host", "User-Agent", "Content-Type", "Content-Length", "webhook-id", "webhook-timestamp", "webhook-signature"], ignoreOrder: true);
    }

    [Theory]
    [InlineData(false, "127.0.0.1")]
    [InlineData(false, "10.0.0.1")]
    [InlineData(false, "93.184.215.14", "127.0.0.1")] // one of several is enough
    [InlineData(false, "::ffff:93.184.215.14")]
    [InlineData(true, "169.254.169.254")]
    [InlineData(true, "127.0.0.1", "169.254.169.254")]
    public async Task A_name_that_leads_to_an_address_that_is_not_public_is_not_connected_to(bool allowPrivate, params string[] addresses)
    {
        using var sender = Sender(allowPrivate: allowPrivate, addresses: addresses);
        var result = await SendAsync(sender);
        result.ShouldBe(new SendResult(null, "its name leads to an address that is not public"));
        _receiver.Connections.ShouldBe(0);
    }

    [Fact]
    public async Task The_name_is_looked_up_for_each_try_and_its_old_connection_is_not_used()
    {
        IPAddress[] leadsTo = [IPAddress.Loopback];
        using var sender = new WebhookSender(Options(), (name, _) =>
        {
            _lookedUp.Add(name);
            return Task.FromResult(leadsTo);
        }, _clock);
        (await SendAsync(sender)).Delivered.ShouldBeTrue();
        (await SendAsync(sender)).Delivered.ShouldBeTrue();
        _receiver.Connections.ShouldBe(2);
        leadsTo = [IPAddress.Parse("169.254.169.254")];
        (await SendAsync(sender)).Delivered.ShouldBeFalse();
        _lookedUp.ShouldBe(["localhost", "localhost", "localhost"]);
        _receiver.Connections.ShouldBe(2);
    }

    [Fact]
    public async Task An_address_that_does_not_answer_gives_way_to_the_next()
    {
        using var sender = Sender(addresses: ["::1", "127.0.0.1"]); // it listens on the second only
        (await SendAsync(sender)).Delivered.ShouldBeTrue();
    }

    [Fact]
    public async Task An_address_that_swallows_what_is_sent_to_it_leaves_time_for_the_next()
    {
        Prerequisite.Linux(); // all of 127/8 is there, and a full queue drops what comes
        using var silent = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        silent.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.2"), _receiver.Port));
        silent.Listen(0);
        using var inQueue = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await inQueue.ConnectAsync(silent.LocalEndPoint!, Token);

        using var sender = Sender(addresses: ["127.0.0.2", "127.0.0.1"]);
        var sending = SendAsync(sender);
        // The whole try's timer, and that of the first address.
        await _clock.AdvanceOnceSleepingAsync(WebhookSender.Timeout / 2, sleepers: 2);
        (await sending.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Token)).ShouldBe(new SendResult(200, null));
    }

    [Fact]
    public async Task A_certificate_of_an_authority_that_is_not_trusted_is_refused()
    {
        using var stranger = new TestAuthority();
        foreach (var trusted in new[] { null, stranger.File })
        {
            using var sender = new WebhookSender(new WebhookOptions { AllowPrivate = true, TrustedCertificates = trusted }, (_, _) => Task.FromResult<IPAddress[]>([IPAddress.Loopback]), _clock);
            (await SendAsync(sender)).Error.ShouldNotBeNull().ShouldStartWith("no secure connection");
        }
        _receiver.Received.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_certificate_for_another_name_is_refused()
    {
        using var sender = Sender();
        (await SendAsync(sender, $"https://elsewhere.example:{_receiver.Port}/")).Error.ShouldNotBeNull().ShouldStartWith("no secure connection");
        _receiver.Received.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Where_the_receivers_certificate_says_that_its_issuer_is_nobody_connects(bool ownAuthority)
    {
        using var issuers = new TcpListener(IPAddress.Loopback, 0);
        issuers.Start();
        using var intermediate = _authority.IssueIntermediate();
        var leaf = _authority.Issue("localhost", intermediate, $"http://127.0.0.1:{((IPEndPoint)issuers.LocalEndpoint).Port}/intermediate.cer");
        await using var receiver = await TlsReceiver.StartAsync(leaf, []);
        using var sender = new WebhookSender(new WebhookOptions { AllowPrivate = true, TrustedCertificates = ownAuthority ? _authority.File : null }, (_, _) => Task.FromResult<IPAddress[]>([IPAddress.Loopback]), _clock);
        (await SendAsync(sender, receiver.Url)).Error.ShouldNotBeNull().ShouldStartWith("no secure connection");
        issuers.Pending().ShouldBeFalse("the receiver would choose where this server connects to");
        receiver.Received.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_receiver_that_sends_its_intermediate_is_trusted()
    {
        using var intermediate = _authority.IssueIntermediate();
        await using var receiver = await TlsReceiver.StartAsync(_authority.Issue("localhost", intermediate), [intermediate]);
        using var sender = Sender();
        (await SendAsync(sender, receiver.Url)).ShouldBe(new SendResult(200, null));
    }

    [Theory]
    [InlineData(301)]
    [InlineData(307)]
    public async Task A_redirect_is_not_followed(int status)
    {
        _receiver.Answer = context =>
        {
            context.Response.StatusCode = status;
            context.Response.Headers.Location = _receiver.Url;
            return Task.CompletedTask;
        };
        using var sender = Sender();
        (await SendAsync(sender)).ShouldBe(new SendResult(status, "redirects are not followed"));
        _receiver.Received.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_receiver_that_does_not_answer_costs_ten_seconds()
    {
        var never = new TaskCompletionSource();
        _receiver.Answer = _ => never.Task;
        using var sender = Sender();
        var sending = SendAsync(sender);
        await Eventually.TrueAsync(() => _receiver.Received.Count == 1);
        _clock.Advance(WebhookSender.Timeout - TimeSpan.FromMilliseconds(1));
        sending.IsCompleted.ShouldBeFalse();
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        (await sending).ShouldBe(new SendResult(null, "no answer within 10 s"));
        never.SetResult();
    }

    [Fact]
    public async Task An_answer_without_end_is_not_read()
    {
        var left = new TaskCompletionSource();
        _receiver.Answer = async context =>
        {
            context.Response.StatusCode = 500;
            try
            {
                while (!context.RequestAborted.IsCancellationRequested) await context.Response.WriteAsync(new string('x', 4096), context.RequestAborted);
            }
            catch (Exception e) when (e is OperationCanceledException or IOException)
            {
                // Left alone: that is what the test waits for.
            }
            left.SetResult();
        };
        using var sender = Sender();
        (await SendAsync(sender)).ShouldBe(new SendResult(500, null));
        await left.Task.WaitAsync(TimeSpan.FromSeconds(90), TimeProvider.System, Token);
    }

    [Fact]
    public async Task A_name_that_is_unknown_and_a_port_where_nobody_listens_are_told_apart()
    {
        using (var nowhere = Sender(addresses: [])) (await SendAsync(nowhere)).ShouldBe(new SendResult(null, "the name is unknown"));
        using var sender = Sender();
        var gone = _receiver.Url;
        await _receiver.DisposeAsync();
        (await SendAsync(sender, gone)).ShouldBe(new SendResult(null, "connection refused"));
        _receiver = await TlsReceiver.StartAsync(_authority);
    }

    [Theory]
    [InlineData("missing.pem", null, "can't be read")]
    [InlineData("empty.pem", "", "holds no PEM certificate")]
    public void A_file_of_trusted_certificates_that_is_none_stops_the_start(string name, string? content, string because)
    {
        using var directory = new TemporaryDirectory();
        if (content is not null) File.WriteAllText(directory.File(name), content);
        Should.Throw<FormatException>(() => new WebhookSender(new WebhookOptions { TrustedCertificates = directory.File(name) }, Dns.GetHostAddressesAsync, _clock)).Message.ShouldContain(because);
    }

    private Task<SendResult> SendAsync(WebhookSender sender, string? url = null) => sender.SendAsync(url ?? _receiver.Url, Secret, "msg_1", "{}", Token);

    private WebhookOptions Options(bool allowPrivate = true) => new() { AllowPrivate = allowPrivate, TrustedCertificates = _authority.File };

    private WebhookSender Sender(bool allowPrivate = true, string[]? addresses = null) =>
        new(Options(allowPrivate), (_, _) => Task.FromResult<IPAddress[]>([.. (addresses ?? ["127.0.0.1"]).Select(IPAddress.Parse)]), _clock);
}
