using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

public sealed class TrustedProxiesTests
{
    [Theory]
    [InlineData("127.0.0.0/8", HttpStatusCode.Unauthorized)]
    [InlineData("127.0.0.1", HttpStatusCode.Unauthorized)]
    [InlineData("10.0.0.1", HttpStatusCode.TooManyRequests)]
    [InlineData(null, HttpStatusCode.TooManyRequests)]
    public async Task Clients_behind_a_trusted_proxy_have_limits_of_their_own_and_nobody_else_may_name_another_address(string? trusted, HttpStatusCode expected)
    {
        var settings = new Dictionary<string, string?> { ["Tanjiren:Identity:LoginsPerAddress"] = "1" };
        if (trusted is not null) settings["Tanjiren:Hosting:TrustedProxies:0"] = trusted;
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite, o => o with { Settings = settings });
        (await LoginAsync(server, "203.0.113.1")).ShouldBe(HttpStatusCode.Unauthorized);
        (await LoginAsync(server, "203.0.113.1")).ShouldBe(HttpStatusCode.TooManyRequests);
        (await LoginAsync(server, "203.0.113.2")).ShouldBe(expected);
    }

    [Fact]
    public void A_bad_address_is_named()
    {
        var options = new ControlPlaneOptions
        {
            Urls = ["http://127.0.0.1:0"], Database = "sqlite:unused", Settings = new Dictionary<string, string?> { ["Tanjiren:Hosting:TrustedProxies:0"] = "proxy.local" },
        };
        Should.Throw<FormatException>(() => ControlPlane.Build(options)).Message.ShouldContain("TrustedProxies:0 is 'proxy.local'");
    }

    private static async Task<HttpStatusCode> LoginAsync(ServerFixture server, string address)
    {
        using var client = server.NewClient(null);
        client.DefaultRequestHeaders.Add("X-Forwarded-For", address);
        return (await client.PostJsonAsync("/api/auth/login", new LoginRequest { Email = "nobody@example.test", Password = "wrong wrong wrong" })).StatusCode;
    }
}
