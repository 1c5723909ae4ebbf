using System.Net;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

public sealed class HostGuardTests
{
    [Fact]
    public async Task Only_own_names_are_served()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite, o => o with
        {
            PublicUrl = "https://tanjiren.example",
            Settings = new Dictionary<string, string?> { ["Tanjiren:Hosting:AllowedHosts:0"] = "inner.example" },
        });
        async Task<HttpResponseMessage> AskAsync(string host)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/healthz");
            request.Headers.Host = host;
            return await server.Client.SendAsync(request, TestContext.Current.CancellationToken);
        }

        foreach (var own in new[] { "localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:7433", "tanjiren.example", "inner.example:80" })
            (await AskAsync(own)).StatusCode.ShouldBe(HttpStatusCode.OK, own);
        foreach (var foreign in new[] { "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "tanjiren.example.evil" })
            await AskAsync(foreign).ProblemAsync(HttpStatusCode.Forbidden, ErrorCode.ForeignOrigin);
    }

    [Theory]
    [InlineData("http://0.0.0.0:0")]
    [InlineData("http://*:0")]
    [InlineData("http://tanjiren.example:80")]
    [InlineData("http://10.1.2.3:80")]
    public void Plain_http_beyond_loopback_is_refused_before_the_start_unless_it_is_asked_for(string url)
    {
        using var directory = new TemporaryDirectory();
        ControlPlaneOptions Options(bool insecure) => new() { Urls = [url], Database = "sqlite:" + directory.File("x.db"), InsecureHttp = insecure, ConfigureLogging = _ => { } };
        Should.Throw<FormatException>(() => ControlPlane.Build(Options(false))).Message.ShouldContain("--insecure-http");
        Should.NotThrow(() => ControlPlane.Build(Options(true)));
    }

    [Theory]
    [InlineData("http://localhost:0")]
    [InlineData("http://127.0.0.1:0")]
    [InlineData("http://[::1]:0")]
    [InlineData("https://tanjiren.example:443")]
    public void Loopback_and_https_need_no_permission(string url)
    {
        using var directory = new TemporaryDirectory();
        Should.NotThrow(() => ControlPlane.Build(new ControlPlaneOptions { Urls = [url], Database = "sqlite:" + directory.File("x.db"), ConfigureLogging = _ => { } }));
    }

    [Theory]
    [InlineData("Urls", "nonsense")]
    [InlineData("PublicUrl", "tanjiren.example")]
    public void A_bad_url_is_named(string setting, string value)
    {
        using var directory = new TemporaryDirectory();
        var options = new ControlPlaneOptions { Urls = ["http://127.0.0.1:0"], Database = "sqlite:" + directory.File("x.db"), ConfigureLogging = _ => { } };
        options = setting == "Urls" ? options with { Urls = [value] } : options with { PublicUrl = value };
        Should.Throw<FormatException>(() => ControlPlane.Build(options)).Message.ShouldContain(value);
    }
}
