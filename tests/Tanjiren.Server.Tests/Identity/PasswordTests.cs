using System.Buffers.Binary;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Tests.Identity;

/// <summary>The servers of tests hash cheaply; that the product does not is seen here.</summary>
public sealed class PasswordTests
{
    [Fact]
    public void A_hash_costs_a_hundred_thousand_rounds()
    {
        var passwords = new Passwords(new ControlPlaneOptions { Urls = [], Database = "" });

        var hash = passwords.Hash(ServerFixture.Password);

        // ASP.NET Core Identity, version 3 of its format: a marker, the PRF (2: HMAC-SHA512), the rounds.
        var bytes = Convert.FromBase64String(hash);
        (bytes[0], BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(1)), BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(5))).ShouldBe(((byte)1, 2u, 100_000u));
        (passwords.Verify(hash, ServerFixture.Password), passwords.Verify(hash, "another"), passwords.Verify(null, ServerFixture.Password)).ShouldBe((true, false, false));
    }
}
