using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.DeviceTrust;

/// <summary>What a proof admits, and for how long. The wrong ones are in the table of <see cref="Hostile.ProofRows"/>.</summary>
public sealed class DPoPTests
{
    private const string Body = """{"value":1}""";

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_good_proof_passes_and_the_handler_reads_the_body_that_it_covers(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind);
        var response = await bench.SendAsync(c => c);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).ShouldBe($"{bench.Device.InstanceId} {bench.Server.Owner.OrganizationId} ses_01m7xrcwvsfv8tpytprfdh28j0 {Body}");
        response.Headers.GetValues("DPoP-Nonce").ShouldHaveSingleItem();
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_proof_works_once_even_when_two_requests_race(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind);
        var proof = DeviceClient.Sign(bench.Device.Header(), bench.Device.Claims(HttpMethod.Post, bench.Url, bench.Bytes), bench.Device.Key);
        Task<HttpResponseMessage> Send() => bench.Device.SendRawAsync(HttpMethod.Post, bench.Url, bench.Bytes, [proof], ["DPoP " + bench.Device.AccessToken]);

        var answers = await Task.WhenAll(Send(), Send(), Send(), Send());

        answers.Count(a => a.StatusCode == HttpStatusCode.OK).ShouldBe(1);
        foreach (var refused in answers.Where(a => a.StatusCode != HttpStatusCode.OK)) await refused.ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidDpopProof);
        bench.Handled.ShouldBe(1);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_stale_nonce_is_refused_and_the_answer_carries_the_next(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind);
        bench.Clock.Advance(TimeSpan.FromSeconds(121));
        (await bench.SendAsync(c => c)).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await bench.SendAsync(c => c)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    /// <summary>Servers stand beside each other on PostgreSQL only.</summary>
    [Fact]
    public async Task A_nonce_from_before_the_servers_start_is_refused_and_one_of_a_server_beside_it_passes()
    {
        const DatabaseKind kind = DatabaseKind.Postgres;
        await using var bench = await StartAsync(kind);
        var old = bench.Device.Nonce;
        bench.Clock.Advance(TimeSpan.FromSeconds(2));
        await using var second = await StartAsync(kind, bench);
        var url = bench.Url.Replace(bench.Server.Url, second.Server.Url, StringComparison.Ordinal);
        async Task<HttpStatusCode> TryAsync(string? nonce)
        {
            var claims = bench.Device.Claims(HttpMethod.Post, url, bench.Bytes) with { Nonce = nonce };
            return (await bench.Device.SendRawAsync(HttpMethod.Post, url, bench.Bytes, [DeviceClient.Sign(bench.Device.Header(), claims, bench.Device.Key)],
                ["DPoP " + bench.Device.AccessToken])).StatusCode;
        }

        (await TryAsync(old)).ShouldBe(HttpStatusCode.Unauthorized);
        await bench.SendAsync(c => c);
        (await TryAsync(bench.Device.Nonce)).ShouldBe(HttpStatusCode.OK);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_step_of_the_servers_clock_locks_nobody_out(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind);
        var steady = bench.Device.Claims(HttpMethod.Post, bench.Url, bench.Bytes).Iat;
        bench.Clock.StepWall(TimeSpan.FromMinutes(10));
        (await bench.SendAsync(c => c with { Iat = steady })).StatusCode.ShouldBe(HttpStatusCode.OK);
        bench.Clock.StepWall(TimeSpan.FromMinutes(-20));
        (await bench.SendAsync(c => c with { Iat = steady })).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await bench.SendAsync(c => c with { Iat = steady - 600 })).StatusCode.ShouldBe(HttpStatusCode.OK, "by the wall clock, which may be the right one now");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task An_expired_token_is_refused_and_a_fresh_one_passes(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind);
        bench.Clock.Advance(TimeSpan.FromSeconds(3600));
        await bench.SendAsync(c => c);
        await bench.SendAsync(c => c).ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.InvalidToken);
        bench.Device.AccessToken = (await (await bench.Device.RefreshAsync()).BodyAsync<DeviceTokenResponse>()).AccessToken;
        (await bench.SendAsync(c => c)).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task A_body_over_the_routes_limit_is_413_whether_it_tells_its_length_or_not(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind);
        var large = Encoding.ASCII.GetBytes(new string('x', 2000));
        string Proof() => DeviceClient.Sign(bench.Device.Header(), bench.Device.Claims(HttpMethod.Post, bench.Url, large), bench.Device.Key);
        await bench.Device.SendRawAsync(HttpMethod.Post, bench.Url, large, [Proof()], ["DPoP " + bench.Device.AccessToken])
            .ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.BodyTooLarge);

        using var client = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, bench.Url) { Content = new ByteArrayContent(large) };
        request.Headers.TransferEncodingChunked = true;
        request.Headers.TryAddWithoutValidation("DPoP", Proof());
        request.Headers.TryAddWithoutValidation("Authorization", "DPoP " + bench.Device.AccessToken);
        await client.SendAsync(request, TestContext.Current.CancellationToken).ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.BodyTooLarge);
        bench.Handled.ShouldBe(0);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Behind_a_proxy_the_public_url_is_what_proofs_are_made_for(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind, publicUrl: "https://Tanjiren.example/base/");
        var path = bench.Url[bench.Server.Url.Length..];
        (await bench.SendAsync(c => c with { Htu = bench.Url })).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await bench.SendAsync(c => c with { Htu = "https://tanjiren.example:443/base" + path })).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    private static async Task<Bench> StartAsync(DatabaseKind kind, Bench? beside = null, string? publicUrl = null)
    {
        var clock = beside?.Clock ?? new ManualTimeProvider();
        var database = beside is null ? await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync) : null;
        var bench = new Bench { Clock = clock, Database = database };
        bench.Server = await ServerFixture.StartAsync(database?.Url ?? beside!.Database!.Url, o => o with { Clock = clock, PublicUrl = publicUrl }, configureApp: bench.MapProbe);
        if (beside is not null || publicUrl is not null && await bench.PairBehindProxyAsync(publicUrl)) return bench;
        bench.Device = await bench.Server.NewDeviceAsync();
        bench.Other = await bench.Server.NewDeviceAsync();
        return bench;
    }

    /// <summary>A server with a route of workstations that takes up to 1,000 bytes and tells what it got, and two paired workstations.</summary>
    private sealed class Bench : IAsyncDisposable
    {
        private int _handled;

        public required ManualTimeProvider Clock { get; init; }
        public required TestDatabase? Database { get; init; }
        public ServerFixture Server { get; set; } = null!;
        public DeviceClient Device { get; set; } = null!;
        public DeviceClient Other { get; set; } = null!;
        public byte[] Bytes { get; } = Encoding.UTF8.GetBytes(Body);
        public int Handled => Volatile.Read(ref _handled);
        public string Url => $"{Server.Url}/api/instances/{Device.InstanceId}/probe?session=ses_01m7xrcwvsfv8tpytprfdh28j0&n=1";

        public void MapProbe(WebApplication app) => app.MapPost("/api/instances/{id}/probe", async (HttpContext context, Device device) =>
        {
            Interlocked.Increment(ref _handled);
            using var reader = new StreamReader(context.Request.Body);
            return $"{device.InstanceId} {device.OrganizationId} {device.SessionId} {await reader.ReadToEndAsync(context.RequestAborted)}";
        }).RequireDevice(1000);

        public Task<HttpResponseMessage> SendAsync(Func<ProofClaims, ProofClaims> change) => Device.SendRawAsync(HttpMethod.Post, Url, Bytes,
            [DeviceClient.Sign(Device.Header(), change(Device.Claims(HttpMethod.Post, Url, Bytes)), Device.Key)], ["DPoP " + Device.AccessToken]);

        /// <summary>The device client makes proofs for where it sends; behind a proxy that is not what the server is asked for.</summary>
        public async Task<bool> PairBehindProxyAsync(string publicUrl)
        {
            var instance = await Server.NewInstanceAsync();
            var url = Server.Url + "/api/device-trust/pair";
            var body = System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(new PairRequest { Code = await Server.NewPairingCodeAsync(instance.Id) }, WireJson.Default.PairRequest);
            Device = new DeviceClient(Server.Url, Clock);
            for (var attempt = 0; ; attempt++)
            {
                var claims = Device.Claims(HttpMethod.Post, publicUrl.TrimEnd('/') + "/api/device-trust/pair", body);
                var response = await Device.SendRawAsync(HttpMethod.Post, url, body, [DeviceClient.Sign(Device.Header(), claims, Device.Key)], []);
                if (attempt == 0) continue;
                Device.AccessToken = (await response.BodyAsync<PairResponse>()).AccessToken;
                Device.InstanceId = instance.Id;
                Other = Device.Clone();
                return true;
            }
        }

        public async ValueTask DisposeAsync()
        {
            Device?.Dispose();
            Other?.Dispose();
            await Server.DisposeAsync();
            if (Database is not null) await Database.DisposeAsync();
        }
    }
}
