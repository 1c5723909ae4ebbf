using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.RegularExpressions;

using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;

using Tanjiren.EndToEnd.Tests.Cli;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.SignIn;

/// <summary>A real control plane in this process, with one admin who has a password; and command lines that sign in there.</summary>
internal sealed partial class HostedServer : IAsyncDisposable
{
    public const string Email = "ann@example.org";
    public const string Password = "correct horse battery staple";

    private readonly TemporaryDirectory _directory;
    private readonly WebApplication _app;

    private HostedServer(TemporaryDirectory directory, WebApplication app, LocalCredentials owner)
    {
        (_directory, _app) = (directory, app);
        Url = app.Urls.First();
        Owner = new HttpClient { BaseAddress = new Uri(Url) };
        Owner.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", owner.Token);
        Person = new Approver(new Uri(Url), Email, Password);
    }

    public string Url { get; }

    /// <summary>Its SQLite file.</summary>
    public string DatabaseFile => _directory.File("tanjiren.db");

    public HttpClient Owner { get; }

    public Approver Person { get; }

    public static async Task<HostedServer> StartAsync(int accessTokenSeconds = 600)
    {
        var directory = new TemporaryDirectory();
        var app = ControlPlane.Build(new ControlPlaneOptions
        {
            Urls = ["http://127.0.0.1:0"], Database = "sqlite:" + directory.File("tanjiren.db"), OfferSetup = false, ConfigureLogging = logging => logging.ClearProviders(),
            Settings = new Dictionary<string, string?> { ["Tanjiren:OAuth:PollSeconds"] = "1", ["Tanjiren:OAuth:AccessTokenSeconds"] = accessTokenSeconds.ToString() },
        });
        await app.StartAsync();
        var owner = await LocalWorkspace.EnsureAsync(app, CancellationToken.None);
        var server = new HostedServer(directory, app, owner);
        using var added = await server.Owner.PostAsJsonAsync($"/api/organizations/{owner.OrganizationId}/members",
            new AddMemberRequest { Email = Email, Password = Password, Role = Role.Admin }, WireJson.Default.AddMemberRequest);
        added.EnsureSuccessStatusCode();
        return server;
    }

    /// <summary><c>auth login</c> in this process; <paramref name="decide"/> gets the page's address as soon as it is printed.</summary>
    public async Task<int> LoginAsync(CliRun cli, Func<string, Task> decide, params string[] options)
    {
        var login = cli.InvokeAsync(["auth", "login", "--server", Url, .. options]);
        string? page = null;
        await Eventually.TrueAsync(() => (page = Page().Match(cli.Error.Text) is { Success: true } found ? found.Value : null) is not null || login.IsCompleted, () => cli.Error.Text);
        page.ShouldNotBeNull(cli.Error.Text);
        await decide(page);
        return await login;
    }

    /// <summary>Signs a command line in.</summary>
    public async Task<CliRun> SignedInAsync()
    {
        var cli = new CliRun();
        (await LoginAsync(cli, Person.ApproveAsync)).ShouldBe(0, cli.Error.Text);
        return cli;
    }

    public async ValueTask StopAsync() => await _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        Owner.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        _directory.Dispose();
    }

    [GeneratedRegex("http://[0-9.:]+/device\\?user_code=[A-Z]{4}-[A-Z]{4}(?=\n)", RegexOptions.None, 1000)]
    private static partial Regex Page();
}
