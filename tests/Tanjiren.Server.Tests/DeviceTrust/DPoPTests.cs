using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.DeviceTrust;

/// <summary>Each refusal of a proof, on a real route of workstations, by a request that is wrong in exactly one way.</summary>
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

    public static TheoryData<DatabaseKind, string, string> WrongProofs()
    {
        var data = new TheoryData<DatabaseKind, string, string>();
        foreach (var kind in new[] { DatabaseKind.Sqlite, DatabaseKind.Postgres })
        {
            foreach (var (name, error) in new[]
            {
                ("no proof", "invalid_dpop_proof"), ("two proofs", "invalid_dpop_proof"), ("not a JWS", "invalid_dpop_proof"), ("too long", "invalid_dpop_proof"),
                ("alg RS256", "invalid_dpop_proof"), ("alg none", "invalid_dpop_proof"), ("wrong typ", "invalid_dpop_proof"), ("private jwk", "invalid_dpop_proof"),
                ("no jwk", "invalid_dpop_proof"), ("signed by another key", "invalid_dpop_proof"), ("signature of another input", "invalid_dpop_proof"),
                ("other method", "invalid_dpop_proof"), ("other path", "invalid_dpop_proof"), ("other query", "invalid_dpop_proof"), ("without query", "invalid_dpop_proof"),
                ("other host", "invalid_dpop_proof"), ("other body", "invalid_dpop_proof"), ("no body digest", "invalid_dpop_proof"),
                ("old iat", "invalid_dpop_proof"), ("future iat", "invalid_dpop_proof"), ("no iat", "invalid_dpop_proof"), ("no jti", "invalid_dpop_proof"),
                ("wrong ath", "invalid_dpop_proof"), ("no ath", "invalid_dpop_proof"),
                ("no nonce", "use_dpop_nonce"), ("foreign nonce", "use_dpop_nonce"), ("forged nonce", "use_dpop_nonce"),
                ("another workstation's key", "invalid_token"), ("no token", "invalid_token"), ("token as Bearer", "invalid_token"), ("forged token", "invalid_token"),
                ("token whose signature is no base64url", "invalid_token"),
                ("two tokens", "invalid_token"),
            })
                data.Add(kind, name, error);
        }
        return data;
    }

    [Theory, MemberData(nameof(WrongProofs))]
    public async Task A_wrong_proof_is_refused_by_the_name_that_RFC_9449_gives(DatabaseKind kind, string wrong, string error)
    {
        await using var bench = await StartAsync(kind);
        var device = bench.Device;
        using var stranger = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var good = device.Claims(HttpMethod.Post, bench.Url, bench.Bytes);
        var header = device.Header();
        string Proof(Func<ProofClaims, ProofClaims> change) => DeviceClient.Sign(header, change(good), device.Key);
        string WithHeader(ProofHeader other, ECDsa? key) => DeviceClient.Sign(other, good, key);
        var token = "DPoP " + device.AccessToken;
        var foreignNonce = wrong == "foreign nonce" ? new ProofNonces(await SecretsOfAnotherServerAsync(), new DeviceTrustOptions(), bench.Clock).Issue() : null;

        string[] proofs = wrong switch
        {
            "no proof" => [],
            "two proofs" => [Proof(c => c), Proof(c => c with { Jti = "other" })],
            "not a JWS" => ["a.b"],
            "too long" => [Proof(c => c with { Jti = new string('x', 4096) })],
            "alg RS256" => [WithHeader(header with { Alg = "RS256" }, device.Key)],
            "alg none" => [WithHeader(header with { Alg = "none" }, null)],
            "wrong typ" => [WithHeader(header with { Typ = "JWT" }, device.Key)],
            "private jwk" => [WithHeader(header with { Jwk = device.PublicKey with { D = device.PublicKey.X } }, device.Key)],
            "no jwk" => [WithHeader(header with { Jwk = null }, device.Key)],
            "signed by another key" => [WithHeader(header, stranger)],
            "signature of another input" => [Proof(c => c)[..^86] + Proof(c => c with { Jti = "other" })[^86..]],
            "other method" => [Proof(c => c with { Htm = "PUT" })],
            "other path" => [Proof(c => c with { Htu = bench.Url.Replace("/probe", "/prob", StringComparison.Ordinal) })],
            "other query" => [Proof(c => c with { Htu = bench.Url.Replace("ses_01m7xrcwvsfv8tpytprfdh28j0", "ses_y", StringComparison.Ordinal) })],
            "without query" => [Proof(c => c with { Htu = bench.Url.Split('?')[0] })],
            "other host" => [Proof(c => c with { Htu = bench.Url.Replace("127.0.0.1", "localhost", StringComparison.Ordinal) })],
            "other body" => [Proof(c => c with { Bsh = DPoPProof.Digest("{}"u8) })],
            "no body digest" => [Proof(c => c with { Bsh = null })],
            "old iat" => [Proof(c => c with { Iat = c.Iat - 91 })],
            "future iat" => [Proof(c => c with { Iat = c.Iat + 31 })],
            "no iat" => [Proof(c => c with { Iat = null })],
            "no jti" => [Proof(c => c with { Jti = "" })],
            "wrong ath" => [Proof(c => c with { Ath = DPoPProof.Digest("other"u8) })],
            "no ath" => [Proof(c => c with { Ath = null })],
            "no nonce" => [Proof(c => c with { Nonce = null })],
            "foreign nonce" => [Proof(c => c with { Nonce = foreignNonce })],
            "forged nonce" => [Proof(c => c with { Nonce = (c.Nonce![0] == 'A' ? 'B' : 'A') + c.Nonce[1..] })],
            "another workstation's key" => [DeviceClient.Sign(bench.Other.Header(), good, bench.Other.Key)],
            _ => [Proof(c => c)],
        };
        string[] authorizations = wrong switch
        {
            "no token" => [],
            "token as Bearer" => ["Bearer " + device.AccessToken],
            "forged token" => [token[..^2] + (token.EndsWith('A') ? "BB" : "AA")],
            "token whose signature is no base64url" => [token[..^2] + "!!"],
            "two tokens" => [token, token],
            _ => [token],
        };

        var response = await device.SendRawAsync(HttpMethod.Post, bench.Url, bench.Bytes, proofs, authorizations);

        var problem = await response.ProblemAsync(HttpStatusCode.Unauthorized, error switch
        {
            "use_dpop_nonce" => ErrorCode.UseDpopNonce,
            "invalid_token" => ErrorCode.InvalidToken,
            _ => ErrorCode.InvalidDpopProof,
        });
        var challenge = response.Headers.WwwAuthenticate.ShouldHaveSingleItem();
        challenge.Scheme.ShouldBe("DPoP");
        challenge.Parameter!.ShouldContain($"error=\"{error}\"");
        challenge.Parameter!.ShouldContain("algs=\"ES256\"");
        response.Headers.GetValues("DPoP-Nonce").ShouldHaveSingleItem();
        if (wrong == "old iat") problem.ClockOffsetSeconds.ShouldBe(-91);
        if (wrong == "future iat")
        {
            problem.ClockOffsetSeconds.ShouldBe(31);
            problem.Detail!.ShouldContain("31 s ahead of the server's clock");
        }
        bench.Handled.ShouldBe(0);
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
    public async Task A_removed_workstation_is_refused_with_its_next_request(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind);
        (await bench.Server.Client.DeleteAsync("/api/instances/" + bench.Device.InstanceId, TestContext.Current.CancellationToken)).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        var refused = await bench.SendAsync(c => c);
        await refused.ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.KeyRevoked);
        refused.Headers.WwwAuthenticate.ToString().ShouldContain("error=\"invalid_token\"");
        await bench.Device.RefreshAsync().ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.KeyRevoked);
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Another_workstations_routes_are_absent(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind);
        var url = bench.Url.Replace(bench.Device.InstanceId, bench.Other.InstanceId, StringComparison.Ordinal);
        var response = await bench.Device.SendAsync(HttpMethod.Post, url, new PairRequest());
        await response.ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        bench.Handled.ShouldBe(0);
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
    public async Task No_credentials_at_all_get_a_challenge_without_an_error(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind);
        var response = await bench.Device.SendRawAsync(HttpMethod.Post, bench.Url, bench.Bytes, [], []);
        await response.ProblemAsync(HttpStatusCode.Unauthorized, ErrorCode.AuthenticationRequired);
        response.Headers.WwwAuthenticate.ToString().ShouldBe("DPoP algs=\"ES256\"");
    }

    [Theory, MemberData(nameof(TestDatabases.Both), MemberType = typeof(TestDatabases))]
    public async Task Behind_a_proxy_the_public_url_is_what_proofs_are_made_for(DatabaseKind kind)
    {
        await using var bench = await StartAsync(kind, publicUrl: "https://Tanjiren.example/base/");
        var path = bench.Url[bench.Server.Url.Length..];
        (await bench.SendAsync(c => c with { Htu = bench.Url })).StatusCode.ShouldBe(HttpStatusCode.Unauthorized);
        (await bench.SendAsync(c => c with { Htu = "https://tanjiren.example:443/base" + path })).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    private static async Task<ServerSecrets> SecretsOfAnotherServerAsync()
    {
        await using var other = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        return (ServerSecrets)other.App.Services.GetService(typeof(ServerSecrets))!;
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
