using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.DeviceTrust;

/// <summary>
/// The examples of RFC 9449. Each passes every check that it can pass: form, time, type, algorithm, key, signature, method, URL, token digest and thumbprint. What
/// no example can pass here: the nonce (it is made by our servers' secret, and lies under the example's signature), the body digest (a claim of ours, D-04), and
/// the access token (its issuer's key is not published). So the whole verifier is asked too, and must refuse the example for its nonce, which comes after form and time.
/// </summary>
public sealed class Rfc9449Tests
{
    private const string Thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"; // §6.1

    private const string AccessToken = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"; // §7.1

    /// <summary>§4.1, figure 2: a request for a token.</summary>
    private static readonly Example TokenRequest = new("POST", "https://server.example.com/token", 1562262616, "-BwC3ESc6acc2lTc", null,
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg");

    /// <summary>§7.1, figure 13: a request with that token.</summary>
    private static readonly Example ResourceRequest = new("GET", "https://resource.example.org/protectedresource", 1562262618, "e1j3V_bKic8-LAEB", "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA");

    private static readonly Dictionary<string, Example> Examples = new() { ["§4.1"] = TokenRequest, ["§7.1"] = ResourceRequest };

    [Theory, InlineData("§4.1"), InlineData("§7.1")]
    public void Its_parts_are_read_as_the_RFC_decodes_them(string section)
    {
        var example = Examples[section];
        var parsed = DPoPProof.Parse(example.Proof)!;
        parsed.Header.Typ.ShouldBe(DPoPProof.Type);
        parsed.Header.Alg.ShouldBe(DPoPProof.Algorithm);
        parsed.Claims.ShouldBe(new ProofClaims { Jti = example.Jti, Htm = example.Method, Htu = example.Url, Iat = example.Iat, Ath = example.Ath });
    }

    [Theory, InlineData("§4.1"), InlineData("§7.1")]
    public void Its_key_has_the_thumbprint_of_section_6_1_and_signed_it(string section)
    {
        var parsed = DPoPProof.Parse(Examples[section].Proof)!;
        var key = parsed.Header.Jwk!;
        key.IsPublicP256().ShouldBeTrue();
        key.Thumbprint().ShouldBe(Thumbprint);
        using var keys = new ProofKeys(new DeviceTrustOptions());
        keys.Verify(key, Thumbprint, keep: true, parsed.SigningInput, parsed.Signature).ShouldBeTrue();
        keys.Verify(key, Thumbprint, keep: true, parsed.SigningInput[1..], parsed.Signature).ShouldBeFalse();
    }

    [Theory, InlineData("§4.1"), InlineData("§7.1")]
    public void Its_htu_is_its_own_URL_and_no_other(string section)
    {
        var url = new Uri(Examples[section].Url);
        var address = new ServerAddress(new ControlPlaneOptions { Urls = ["http://127.0.0.1:0"], Database = "", PublicUrl = url.GetLeftPart(UriPartial.Authority) }, new HostingOptions());
        bool Matches(string target)
        {
            var context = new DefaultHttpContext();
            context.Features.Get<IHttpRequestFeature>()!.RawTarget = target;
            return ProofUrl.Matches(DPoPProof.Parse(Examples[section].Proof)!.Claims.Htu, context, address);
        }

        Matches(url.AbsolutePath).ShouldBeTrue();
        Matches(url.AbsolutePath + "/").ShouldBeFalse();
        Matches(url.AbsolutePath + "?x=1").ShouldBeFalse();
    }

    [Fact]
    public void The_ath_of_section_7_1_is_the_digest_of_its_token() => DPoPProof.Digest(Encoding.ASCII.GetBytes(AccessToken)).ShouldBe(ResourceRequest.Ath);

    [Theory]
    [InlineData(0, ErrorCode.UseDpopNonce)]
    [InlineData(90, ErrorCode.UseDpopNonce)]
    [InlineData(-30, ErrorCode.UseDpopNonce)]
    [InlineData(91, ErrorCode.InvalidDpopProof)]
    [InlineData(-31, ErrorCode.InvalidDpopProof)]
    public async Task The_verifier_at_its_time_and_place_lacks_only_the_nonce(int secondsLater, ErrorCode refusal)
    {
        var clock = new ManualTimeProvider(DateTimeOffset.FromUnixTimeSeconds(TokenRequest.Iat + secondsLater));
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Sqlite, ServerFixture.MigrateAsync);
        await using var server = await ServerFixture.StartAsync(database.Url, o => o with { Clock = clock, PublicUrl = "https://server.example.com" },
            configureApp: app => app.MapPost("/token", (ProvenKey key) => key.Thumbprint).RequireProof(1000));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/token");
        request.Headers.Add("DPoP", TokenRequest.Proof);
        var response = await server.Client.SendAsync(request, TestContext.Current.CancellationToken);
        await response.ProblemAsync(HttpStatusCode.Unauthorized, refusal);
    }

    private sealed record Example(string Method, string Url, long Iat, string Jti, string? Ath, string Proof);
}
