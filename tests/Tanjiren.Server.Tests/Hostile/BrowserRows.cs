using System.Net;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Hostile;

/// <summary>What a foreign page makes a signed-in browser send, and what reaches the server under a rebound name.</summary>
internal static class BrowserRows
{
    public static IEnumerable<HostileRequest> All =>
    [
        WithCookie("cookie from a foreign page", b => ("Origin", "https://evil.example")),
        WithCookie("cookie from another port of this machine", b => ("Origin", "http://127.0.0.1:1")),
        WithCookie("cookie from a page that hides its origin", b => ("Origin", "null")),
        WithCookie("cookie from a name that only begins as ours", b => ("Origin", b.Server.Url + ".evil.example")),
        WithCookie("cookie without an origin", b => ("X-Nothing", "1")),
        Foreign("a foreign page signs the browser in as somebody else", bench => bench.BrowseAsync(HttpMethod.Post, "/api/auth/login",
            new LoginRequest { Email = "a@b.c", Password = ServerFixture.Password }, ("Origin", "https://evil.example"))),
        Foreign("a foreign page sets the server up", bench => bench.BrowseAsync(HttpMethod.Post, "/api/setup",
            new SetupRequest { Code = "x", Email = "a@b.c", Password = ServerFixture.Password, OrganizationName = "x" }, ("Origin", "https://evil.example"))),
        Rebound("rebound name", "evil.example"),
        Rebound("rebound name that begins with ours", "127.0.0.1.evil.example"),
        Rebound("rebound name that ends with ours", "evil.example.localhost"),
        Rebound("rebound address", "10.0.0.1"),
        Foreign("rebound name on a workstation's route, its origin the same", bench => bench.BrowseAsync(HttpMethod.Post, "/api/device-trust/pair", new PairRequest { Code = "x" },
            ("Host", "evil.example"), ("Origin", "http://evil.example"))),
    ];

    /// <summary>A change that the cookie's owner could make from our own page.</summary>
    private static HostileRequest WithCookie(string name, Func<HostileBench, (string Name, string Value)> header) => Foreign(name, async bench =>
    {
        var cookie = await bench.SignInAsync();
        var own = await bench.BrowseAsync(HttpMethod.Post, "/api/auth/tokens", new CreateTokenRequest { Name = "own page" }, ("Cookie", cookie), ("Origin", bench.Server.Url));
        own.StatusCode.ShouldBe(HttpStatusCode.Created);
        return await bench.BrowseAsync(HttpMethod.Post, "/api/auth/tokens", new CreateTokenRequest { Name = "foreign page" }, ("Cookie", cookie), header(bench));
    });

    private static HostileRequest Rebound(string name, string host) => Foreign(name, bench =>
        bench.BrowseAsync(HttpMethod.Get, "/api/instances", null, ("Host", host), ("Authorization", "Bearer " + bench.Server.Owner.Token)));

    private static HostileRequest Foreign(string name, Func<HostileBench, Task<HttpResponseMessage>> send) => new(name, HttpStatusCode.Forbidden, ErrorCode.ForeignOrigin, send);
}
