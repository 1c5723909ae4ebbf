using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hostile;

/// <summary>A server with a route of workstations that takes up to 1,000 bytes and tells what it got, two paired workstations, and a clock that tests move.</summary>
internal sealed class HostileBench : IAsyncDisposable
{
    private const string Body = """{"value":1}""";
    private const int PairingsPerAddress = 25;
    private const int PairingsPerCode = 3;

    private readonly List<DeviceClient> _extra = [];
    private int _handled;

    private HostileBench(TestDatabase database) => Database = database;

    public TestDatabase Database { get; }
    public ManualTimeProvider Clock { get; } = new();
    public ServerFixture Server { get; private set; } = null!;
    public DeviceClient Device { get; private set; } = null!;
    public DeviceClient Other { get; private set; } = null!;
    public byte[] Bytes { get; } = Encoding.UTF8.GetBytes(Body);

    /// <summary>How often the route's handler ran.</summary>
    public int Handled => Volatile.Read(ref _handled);

    public string Url => $"{Server.Url}/api/instances/{Device.InstanceId}/probe?session=ses_01m7xrcwvsfv8tpytprfdh28j0&n=1";

    public static async Task<HostileBench> StartAsync(DatabaseKind kind)
    {
        var bench = new HostileBench(await TestDatabase.CreateAsync(kind, ServerFixture.MigrateAsync));
        await bench.StartServerAsync("http://127.0.0.1:0");
        bench.Device = await bench.Server.NewDeviceAsync();
        bench.Other = await bench.Server.NewDeviceAsync();
        return bench;
    }

    /// <summary>Stops the server and starts another on the same database and address, a little later.</summary>
    public async Task RestartAsync()
    {
        var url = Server.Url;
        await Server.DisposeAsync();
        Clock.Advance(TimeSpan.FromSeconds(2));
        await StartServerAsync(url);
    }

    /// <summary>A key that no server knows, with a nonce, so that what follows is judged by itself.</summary>
    public async Task<DeviceClient> NewStrangerAsync()
    {
        var stranger = new DeviceClient(Server.Url, Clock);
        _extra.Add(stranger);
        await stranger.RefreshAsync();
        return stranger;
    }

    public async Task<string> NewCodeAsync() => await Server.NewPairingCodeAsync((await Server.NewInstanceAsync()).Id);

    /// <summary>A nonce as a server with other keys would make it.</summary>
    public async Task<string> ForeignNonceAsync()
    {
        await using var other = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        return new ProofNonces((ServerSecrets)other.App.Services.GetService(typeof(ServerSecrets))!, new DeviceTrustOptions(), Clock).Issue();
    }

    /// <summary>The cookie of somebody who signed in by password.</summary>
    public async Task<string> SignInAsync()
    {
        var email = Guid.NewGuid().ToString("n") + "@example.test";
        (await Server.Client.PostJsonAsync($"/api/organizations/{Server.Owner.OrganizationId}/members",
            new AddMemberRequest { Email = email, Password = ServerFixture.Password, Role = Role.Admin })).StatusCode.ShouldBe(HttpStatusCode.Created);
        using var anonymous = Server.NewClient(null);
        var login = await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = email, Password = ServerFixture.Password });
        return login.Headers.GetValues("Set-Cookie").First().Split(';')[0];
    }

    /// <summary>A browser's request, with exactly these headers.</summary>
    public async Task<HttpResponseMessage> BrowseAsync(HttpMethod method, string path, object? body, params (string Name, string Value)[] headers)
    {
        using var client = Server.NewClient(null);
        using var request = new HttpRequestMessage(method, path);
        if (body is not null) request.Content = JsonHttp.Content(body);
        foreach (var (name, value) in headers)
        {
            if (name == "Host") request.Headers.Host = value;
            else request.Headers.TryAddWithoutValidation(name, value);
        }
        var response = await client.SendAsync(request, TestContext.Current.CancellationToken);
        await response.Content.LoadIntoBufferAsync();
        return response;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var device in _extra) device.Dispose();
        Device.Dispose();
        Other.Dispose();
        await Server.DisposeAsync();
        await Database.DisposeAsync();
    }

    private async Task StartServerAsync(string url) => Server = await ServerFixture.StartAsync(Database.Url, o => o with
    {
        Clock = Clock,
        Urls = [url],
        Settings = new Dictionary<string, string?>
        {
            ["Tanjiren:DeviceTrust:PairingsPerAddress"] = PairingsPerAddress.ToString(), ["Tanjiren:DeviceTrust:PairingsPerCode"] = PairingsPerCode.ToString(),
            // Every row signs somebody in from this one address.
            ["Tanjiren:OAuth:RequestsPerAddress"] = "1000", ["Tanjiren:OAuth:UserCodeTries"] = "1000",
        },
    }, configureApp: MapProbe);

    private void MapProbe(WebApplication app) => app.MapPost("/api/instances/{id}/probe", async (HttpContext context, Device device) =>
    {
        Interlocked.Increment(ref _handled);
        using var reader = new StreamReader(context.Request.Body);
        return $"{device.InstanceId} {device.OrganizationId} {device.SessionId} {await reader.ReadToEndAsync(context.RequestAborted)}";
    }).RequireDevice(1000);
}
