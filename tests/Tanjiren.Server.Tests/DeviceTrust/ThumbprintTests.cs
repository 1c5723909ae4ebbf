using System.Security.Cryptography;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.DeviceTrust;

public sealed class ThumbprintTests
{
    /// <summary>The key of the example proof in RFC 9449 §4.2 and its thumbprint in §6.1: the RFC's own pair.</summary>
    [Fact]
    public void The_example_of_RFC_9449_has_its_thumbprint()
    {
        var jwk = new Jwk
        {
            Kty = "EC", Crv = "P-256", X = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", Y = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        };
        jwk.Thumbprint().ShouldBe("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        jwk.IsPublicP256().ShouldBeTrue();
        jwk.Import().Dispose();
    }

    /// <summary>The example proof of RFC 9449 §4.2 verifies with the key that it carries.</summary>
    [Fact]
    public void The_example_proof_of_RFC_9449_verifies()
    {
        const string proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
        var parsed = DPoPProof.Parse(proof)!;
        parsed.Claims.Jti.ShouldBe("-BwC3ESc6acc2lTc");
        parsed.Claims.Htu.ShouldBe("https://server.example.com/token");
        using var key = parsed.Header.Jwk!.Import();
        key.VerifyData(parsed.SigningInput, parsed.Signature, HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation).ShouldBeTrue();
    }

    [Fact]
    public void A_point_off_the_curve_is_no_key()
    {
        var jwk = new Jwk { Kty = "EC", Crv = "P-256", X = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", Y = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs" };
        jwk.IsPublicP256().ShouldBeTrue();
        Should.Throw<CryptographicException>(() => jwk.Import());
    }
}
