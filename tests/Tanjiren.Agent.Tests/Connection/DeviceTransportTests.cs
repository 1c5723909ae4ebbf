using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using Tanjiren.Agent.Connection;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Tests.Connection;

public sealed class DeviceTransportTests : IAsyncLifetime
{
    private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private FakeControlPlane server = null!;
    private DeviceTransport transport = null!;
    private ControlPlaneClient client = null!;

    public async ValueTask InitializeAsync()
    {
        server = await FakeControlPlane.StartAsync();
        transport = new DeviceTransport(server.Url, FakeControlPlane.InstanceId, key, AgentHarness.Fast, TimeProvider.System, NullLogger.Instance);
        client = new ControlPlaneClient(transport, FakeControlPlane.InstanceId, AgentHarness.Fast);
        server.Session = "ses_1";
    }

    public async ValueTask DisposeAsync()
    {
        transport.Dispose();
        await server.DisposeAsync();
        key.Dispose();
    }

    [Fact]
    public async Task A_changed_nonce_costs_one_repeat()
    {
        (await BeatAsync()).IsOk.ShouldBeTrue();
        server.Nonce = "nonce-2";

        (await BeatAsync()).IsOk.ShouldBeTrue();

        server.Count("heartbeat").ShouldBe(2);
    }

    [Fact]
    public async Task An_invalid_token_is_replaced_once_and_the_request_repeated()
    {
        (await BeatAsync()).IsOk.ShouldBeTrue();
        server.Token = null; // the server forgot it

        (await BeatAsync()).IsOk.ShouldBeTrue();

        server.TokensIssued.ShouldBe(2);
    }

    [Fact]
    public async Task Callers_that_need_a_token_at_the_same_time_get_one_together()
    {
        var replies = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => BeatAsync()));

        replies.ShouldAllBe(r => r.IsOk);
        server.TokensIssued.ShouldBe(1);
    }

    [Fact]
    public async Task A_refused_clock_is_told_with_its_offset_and_never_corrected()
    {
        server.Refuse("heartbeat", 401, ErrorCode.InvalidDpopProof, clockOffset: 312);

        (await BeatAsync()).Kind.ShouldBe(ReplyKind.ClockRefused);

        transport.ClockNotice.ShouldBe("This machine's clock is 312 s ahead of the server's; set it. Until then the server refuses this agent.");
        (await BeatAsync()).IsOk.ShouldBeTrue();
        transport.ClockNotice.ShouldBeNull();
    }

    [Fact]
    public async Task A_request_without_an_answer_is_unavailable_and_its_timeout_is_its_own()
    {
        server.Hold("heartbeat");

        var reply = await client.HeartbeatAsync("ses_1", new HeartbeatRequest { Leases = [] }, TimeSpan.FromMilliseconds(100), Ct);

        reply.Kind.ShouldBe(ReplyKind.Unavailable);
        transport.Connected.ShouldBeFalse();
    }

    [Theory]
    [InlineData(409, ErrorCode.LeaseLost, nameof(ReplyKind.LeaseLost))]
    [InlineData(409, ErrorCode.SessionEnded, nameof(ReplyKind.SessionEnded))]
    [InlineData(409, ErrorCode.IdentityInUse, nameof(ReplyKind.IdentityInUse))]
    [InlineData(409, ErrorCode.NotClaimable, nameof(ReplyKind.NotClaimable))]
    [InlineData(409, ErrorCode.ResultConflict, nameof(ReplyKind.ResultConflict))]
    [InlineData(409, ErrorCode.LogConflict, nameof(ReplyKind.LogConflict))]
    [InlineData(413, ErrorCode.LogLimitReached, nameof(ReplyKind.LogLimitReached))]
    [InlineData(401, ErrorCode.KeyRevoked, nameof(ReplyKind.KeyRevoked))]
    [InlineData(404, ErrorCode.NotFound, nameof(ReplyKind.NotFound))]
    [InlineData(503, ErrorCode.Unavailable, nameof(ReplyKind.Unavailable))]
    [InlineData(429, ErrorCode.RateLimited, nameof(ReplyKind.Unavailable))]
    [InlineData(500, ErrorCode.InternalError, nameof(ReplyKind.Unavailable))]
    [InlineData(422, ErrorCode.ValidationFailed, nameof(ReplyKind.Refused))]
    public void Problems_become_the_kinds_that_the_agent_acts_on(int status, ErrorCode code, string kind) =>
        ReplyRules.Classify(status, new ProblemBody { Title = "t", Status = status, Code = ProblemBody.CodeName(code) }).ToString().ShouldBe(kind);

    [Theory]
    [InlineData(302, nameof(ReplyKind.Unavailable))]
    [InlineData(400, nameof(ReplyKind.Unavailable))]
    [InlineData(403, nameof(ReplyKind.Unavailable))]
    [InlineData(404, nameof(ReplyKind.Unavailable))]
    [InlineData(409, nameof(ReplyKind.Unavailable))]
    [InlineData(413, nameof(ReplyKind.TooLarge))]
    public void A_status_without_a_code_of_ours_is_never_final(int status, string kind)
    {
        ReplyRules.Classify(status, null).ToString().ShouldBe(kind);
        ReplyRules.Classify(status, new ProblemBody { Title = "t", Status = status, Code = "somebody_elses" }).ToString().ShouldBe(kind);
    }

    [Theory]
    [InlineData(403)]
    [InlineData(404)]
    [InlineData(413)]
    public async Task A_proxys_page_in_place_of_a_token_is_unavailable(int status)
    {
        server.Intercept("token", status);

        (await BeatAsync()).Kind.ShouldBe(ReplyKind.Unavailable);

        (await BeatAsync()).IsOk.ShouldBeTrue();
    }

    [Fact]
    public async Task A_workstation_that_the_server_does_not_know_is_a_revoked_key()
    {
        server.Refuse("token", 404, ErrorCode.NotFound);

        (await BeatAsync()).Kind.ShouldBe(ReplyKind.KeyRevoked);
    }

    [Theory]
    [InlineData("https://example.com/", false, "https://example.com")]
    [InlineData("http://127.0.0.1:7433", false, "http://127.0.0.1:7433")]
    [InlineData("http://[::1]:7433", false, "http://[::1]:7433")]
    [InlineData("http://localhost:7433/base/", false, "http://localhost:7433/base")]
    [InlineData("http://example.com", true, "http://example.com")]
    [InlineData("http://example.com", false, null)]
    [InlineData("http://localhost.example.com", false, null)]
    [InlineData("ftp://example.com", true, null)]
    [InlineData("nonsense", true, null)]
    public void Plain_http_is_for_loopback_unless_it_is_asked_for(string url, bool insecure, string? expected) =>
        ServerAddress.Parse(url, insecure).BaseUrl.ShouldBe(expected);

    private Task<Reply<HeartbeatResponse>> BeatAsync() =>
        client.HeartbeatAsync("ses_1", new HeartbeatRequest { Leases = [] }, TimeSpan.FromSeconds(20), Ct);

    private static CancellationToken Ct => TestContext.Current.CancellationToken;
}
