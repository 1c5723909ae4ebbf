using System.Net.Http.Headers;
using System.Net.Http.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests;

/// <summary>A real control plane on loopback over a database of its own, with its workspace <c>local</c> and the token of its owner.</summary>
internal sealed class ServerFixture : IAsyncDisposable
{
    public const string Password = "correct horse battery";

    private readonly TestDatabase? _ownedDatabase;

    private ServerFixture(WebApplication app, TestDatabase? ownedDatabase, LocalCredentials owner, LogCapture log)
    {
        (App, _ownedDatabase, Owner, Log) = (app, ownedDatabase, owner, log);
        Url = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        Client = NewClient(owner.Token);
    }

    public WebApplication App { get; }

    /// <summary>For example <c>http://127.0.0.1:40123</c>.</summary>
    public string Url { get; }

    public LocalCredentials Owner { get; }

    /// <summary>Signed in as the owner.</summary>
    public HttpClient Client { get; }

    public LogCapture Log { get; }

    public Database Database => App.Services.GetRequiredService<Database>();

    public static async Task<ServerFixture> StartAsync(DatabaseKind kind, Func<ControlPlaneOptions, ControlPlaneOptions>? configure = null)
    {
        var database = await TestDatabase.CreateAsync(kind, MigrateAsync);
        return await StartAsync(database.Url, configure, database);
    }

    /// <summary>A server over a database that the test owns: a second one beside the first, or one after a restart; perhaps with further routes.</summary>
    public static async Task<ServerFixture> StartAsync(string databaseUrl, Func<ControlPlaneOptions, ControlPlaneOptions>? configure = null, TestDatabase? owned = null,
        Action<WebApplication>? configureApp = null)
    {
        var log = new LogCapture();
        var options = new ControlPlaneOptions
        {
            Urls = ["http://127.0.0.1:0"], Database = databaseUrl, OfferSetup = false, PasswordRounds = 100, ConfigureLogging = logging => logging.AddProvider(log),
        };
        var app = ControlPlane.Build(configure?.Invoke(options) ?? options);
        configureApp?.Invoke(app);
        try
        {
            await app.StartAsync();
        }
        catch
        {
            await app.DisposeAsync(); // and with it the lock on the database
            throw;
        }
        var owner = app.Services.GetRequiredService<ControlPlaneOptions>().OfferSetup
            ? new LocalCredentials("", "")
            : await LocalWorkspace.EnsureAsync(app, CancellationToken.None);
        return new ServerFixture(app, owned, owner, log);
    }

    /// <summary>A client with a personal access token, or with nothing. It follows no redirects, keeps no cookies and checks answers against the API document.</summary>
    public HttpClient NewClient(string? token)
    {
        var client = new HttpClient(new DeclaredAnswers()) { BaseAddress = new Uri(Url) };
        if (!string.IsNullOrEmpty(token)) client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return client;
    }

    /// <summary>A new member of the workspace <c>local</c>, signed in by a token.</summary>
    public async Task<HttpClient> NewMemberAsync(Role role)
    {
        var email = $"{role.ToString().ToLowerInvariant()}-{Guid.NewGuid():n}@example.test";
        (await Client.PostJsonAsync($"/api/organizations/{Owner.OrganizationId}/members", new AddMemberRequest { Email = email, Password = Password, Role = role })).EnsureSuccessStatusCode();
        return await SignInAsync(email, null);
    }

    /// <summary>A new organization of the given user (the owner of <c>local</c> by default) and a client that acts in it as its owner.</summary>
    public async Task<(string OrganizationId, HttpClient Client)> NewOrganizationAsync()
    {
        using var founder = await NewMemberAsync(Role.Viewer);
        var me = await founder.GetBodyAsync<IdentityBody>("/api/auth/me");
        var organization = await (await founder.PostJsonAsync("/api/organizations", new CreateOrganizationRequest { Name = "org " + Guid.NewGuid().ToString("n") })).BodyAsync<OrganizationBody>();
        return (organization.Id, await SignInAsync(me.Email, organization.Id));
    }

    /// <summary>Signs in by password and makes a token there.</summary>
    public async Task<HttpClient> SignInAsync(string email, string? organization)
    {
        using var anonymous = NewClient(null);
        var login = await anonymous.PostJsonAsync("/api/auth/login", new LoginRequest { Email = email, Password = Password, Organization = organization });
        login.EnsureSuccessStatusCode();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/auth/tokens") { Content = JsonContent.Create(new CreateTokenRequest { Name = "test" }) };
        request.Headers.Add("Cookie", login.Headers.GetValues("Set-Cookie").First().Split(';')[0]);
        request.Headers.Add("Origin", Url);
        return NewClient((await (await anonymous.SendAsync(request)).BodyAsync<CreatedToken>()).Secret);
    }

    /// <summary>A workstation that an admin created, with a fresh name; with a machine id, as one that registers itself.</summary>
    public async Task<InstanceBody> NewInstanceAsync(string? name = null, IReadOnlyList<string>? tags = null, HttpClient? admin = null, string? machineId = null) =>
        await (await (admin ?? Client).PostJsonAsync("/api/instances", new CreateInstanceRequest { Name = name ?? "ws " + Guid.NewGuid().ToString("n"), Tags = tags, MachineId = machineId })).BodyAsync<InstanceBody>();

    public async Task<string> NewPairingCodeAsync(string instanceId, HttpClient? admin = null) =>
        (await (await (admin ?? Client).PostAsync($"/api/instances/{instanceId}/pairing-code", null)).BodyAsync<PairingCodeBody>()).Code;

    /// <summary>A workstation with a bound key.</summary>
    public async Task<DeviceClient> NewDeviceAsync(string? name = null, IReadOnlyList<string>? tags = null, HttpClient? admin = null, string? machineId = null)
    {
        var instance = await NewInstanceAsync(name, tags, admin, machineId);
        var device = new DeviceClient(Url, App.Services.GetRequiredService<TimeProvider>());
        await device.PairAsync(await NewPairingCodeAsync(instance.Id, admin));
        return device;
    }

    /// <summary>PostgreSQL: until <paramref name="run"/> waits for a lock, as the last of so many that do, or has ended without one.</summary>
    public Task BlockedAsync(Task run, int waiting = 1) => Eventually.TrueAsync(async () => run.IsCompleted || await Database.ReadAsync(s => s.FirstAsync<long>(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"), CancellationToken.None) >= waiting);

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await App.StopAsync();
        await App.DisposeAsync();
        if (_ownedDatabase is not null) await _ownedDatabase.DisposeAsync();
    }

    internal static async Task MigrateAsync(string url)
    {
        await using var app = ControlPlane.Build(new ControlPlaneOptions { Urls = ["http://127.0.0.1:0"], Database = url, ConfigureLogging = _ => { } });
        await app.Services.GetRequiredService<Migrator>().MigrateAsync(CancellationToken.None);
    }
}
