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

    [Fact]
    public void A_point_off_the_curve_is_no_key()
    {
        var jwk = new Jwk { Kty = "EC", Crv = "P-256", X = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", Y = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs" };
        jwk.IsPublicP256().ShouldBeTrue();
        Should.Throw<CryptographicException>(() => jwk.Import());
    }
}
