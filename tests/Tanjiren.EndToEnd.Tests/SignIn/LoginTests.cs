using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;

using Tanjiren.Cli.Settings;
using Tanjiren.EndToEnd.Tests.Cli;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.SignIn;

/// <summary><c>auth login</c>, <c>print-token</c>, <c>grants</c>, <c>revoke</c> and <c>logout</c> against a real server, its page driven as a browser does.</summary>
public sealed class LoginTests
{
    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Approved_on_the_page_the_command_line_is_signed_in_until_it_logs_out()
    {
        await using var server = await HostedServer.StartAsync();
        using var cli = new CliRun();
        (await server.LoginAsync(cli, server.Person.ApproveAsync)).ShouldBe(0, cli.Error.Text);
        cli.Error.Text.ShouldContain("code: ");
        cli.Error.Text.ShouldEndWith($"signed in at {server.Url} as ann@example.org (admin of local); workspace 'local'\n");
        cli.Output.Text.ShouldBeEmpty();
        cli.Opened.ShouldBe([cli.Error.Text.Split('\n')[1].Trim()]);
        if (!OperatingSystem.IsWindows()) File.GetUnixFileMode(Path.Combine(cli.Home, "credentials.json")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);

        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(0, cli.Error.Text);
        cli.Output.Text.ShouldContain("ann@example.org");
        (await cli.InvokeAsync("auth", "print-token")).ShouldBe(0);
        var token = cli.Output.Text.TrimEnd('\n');
        (await StatusAsync(server, token)).ShouldBe(HttpStatusCode.OK);
        (await cli.InvokeAsync("auth", "grants", "--json")).ShouldBe(0);
        var grant = JsonSerializer.Deserialize(cli.Output.Text, WireJson.Default.PageGrantBody)!.Items.ShouldHaveSingleItem();
        (grant.Client, grant.MachineName, grant.Current).ShouldBe(("tanvrit-compute", Environment.MachineName, true));

        (await cli.InvokeAsync("auth", "logout")).ShouldBe(0, cli.Error.Text);
        (await StatusAsync(server, token)).ShouldBe(HttpStatusCode.Unauthorized);
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(125);
        (await File.ReadAllTextAsync(Path.Combine(cli.Home, "credentials.json"), Ct)).ShouldNotContain("tnr_");
    }

    [Fact]
    public async Task Denied_it_keeps_nothing_and_without_a_browser_it_opens_none()
    {
        await using var server = await HostedServer.StartAsync();
        using var cli = new CliRun();
        (await server.LoginAsync(cli, server.Person.DenyAsync, "--no-browser")).ShouldBe(125);
        cli.Error.Text.ShouldContain("error: the sign-in was denied\n");
        cli.Opened.ShouldBeEmpty();
        File.Exists(Path.Combine(cli.Home, "credentials.json")).ShouldBeFalse();
    }

    [Fact]
    public async Task Commands_at_once_renew_the_token_one_after_another_and_the_sign_in_lives()
    {
        // Two seconds are less than the slack, so every command renews.
        await using var server = await HostedServer.StartAsync(accessTokenSeconds: 2);
        using var cli = await server.SignedInAsync();
        var first = Stored(cli);
        using var others = new Disposables(Enumerable.Range(0, 6).Select(_ => new CliRun { Variables = { ["TANVRIT_HOME"] = cli.Home } }));

        (await Task.WhenAll(others.All.Select(o => o.InvokeAsync("auth", "whoami")))).ShouldAllBe(code => code == 0, string.Concat(others.All.Select(o => o.Error.Text)));

        Stored(cli).RefreshToken.ShouldNotBe(first.RefreshToken);
        Stored(cli).Grant.ShouldBe(first.Grant);
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(0, cli.Error.Text);
    }

    [Fact]
    public async Task A_token_that_the_server_refuses_before_its_time_is_renewed_and_the_request_repeated()
    {
        await using var server = await HostedServer.StartAsync();
        using var cli = await server.SignedInAsync();
        var file = new CredentialFile(new TanvritHome(cli.Home));
        file.Write(file.Read().Replace("local", Stored(cli) with { Token = "tnv_wrong", ExpiresAt = TimeProvider.System.GetUtcNow().AddDays(1) }));
        (await cli.InvokeAsync("workstations", "create", "box")).ShouldBe(0, cli.Error.Text);
        Stored(cli).Token.ShouldNotBe("tnv_wrong");
    }

    [Fact]
    public async Task Signed_out_from_elsewhere_every_command_says_so()
    {
        await using var server = await HostedServer.StartAsync();
        using var lost = await server.SignedInAsync();
        using var here = await server.SignedInAsync();
        (await here.InvokeAsync("auth", "revoke", Stored(lost).Grant!)).ShouldBe(0, here.Error.Text);

        (await lost.InvokeAsync("jobs", "list")).ShouldBe(125);
        lost.Error.Text.ShouldBe($"error: the sign-in of workspace 'local' has ended: This sign-in has been ended.\nhint: sign in again with `tanvrit-compute auth login --server {server.Url}`\n");
        (await here.InvokeAsync("auth", "whoami")).ShouldBe(0);
        (await lost.InvokeAsync("auth", "logout")).ShouldBe(0, "what has ended can be forgotten");
    }

    [Fact]
    public async Task Logout_without_the_server_forgets_the_sign_in_and_says_how_to_end_it()
    {
        await using var server = await HostedServer.StartAsync();
        using var cli = await server.SignedInAsync();
        var grant = Stored(cli).Grant;
        await server.StopAsync();

        (await cli.InvokeAsync("auth", "logout")).ShouldBe(125);

        cli.Error.Text.ShouldContain("signed out of workspace 'local'\n");
        cli.Error.Text.ShouldContain($"tanvrit-compute auth revoke {grant}");
        new CredentialFile(new TanvritHome(cli.Home)).Read().Workspaces.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_lost_answer_to_a_refresh_is_asked_for_again_with_the_same_token()
    {
        await using var server = await FakeControlPlane.StartAsync();
        server.On("POST", "/oauth/token", (context, n) =>
        {
            if (n > 1)
                return FakeControlPlane.JsonAsync(context, new OAuthTokenResponse { AccessToken = "tnv_new", TokenType = "Bearer", ExpiresIn = 600, RefreshToken = "tnr_new" });
            context.Abort();
            return Task.CompletedTask;
        });
        using var cli = new CliRun().SignedIn(server);
        var file = new CredentialFile(new TanvritHome(cli.Home));
        file.Write(file.Read().Replace("local", file.Read().Workspaces["local"] with { RefreshToken = "tnr_old", ExpiresAt = TimeProvider.System.GetUtcNow() }));

        (await cli.InvokeAsync("auth", "print-token")).ShouldBe(0, cli.Error.Text);

        cli.Output.Text.ShouldBe("tnv_new\n");
        server.To("POST", "/oauth/token").Select(r => r.Body).ShouldBe(Enumerable.Repeat("grant_type=refresh_token&refresh_token=tnr_old&client_id=tanvrit-compute", 2));
        (Stored(cli).RefreshToken, file.Read().Current).ShouldBe(("tnr_new", "local"));
    }

    [Fact]
    public async Task A_personal_access_token_is_printed_as_it_is_and_the_environments_wins()
    {
        await using var server = await FakeControlPlane.StartAsync();
        using var cli = new CliRun().SignedIn(server);
        (await cli.InvokeAsync("auth", "print-token")).ShouldBe(0);
        cli.Output.Text.ShouldBe("tnv_test\n");
        cli.Variables["TANVRIT_TOKEN"] = "tnv_env";
        (await cli.InvokeAsync("auth", "print-token")).ShouldBe(0);
        cli.Output.Text.ShouldBe("tnv_env\n");
        server.Requests.ShouldBeEmpty();
    }

    private static WorkspaceCredential Stored(CliRun cli) => new CredentialFile(new TanvritHome(cli.Home)).Read().Workspaces["local"];

    private static async Task<HttpStatusCode> StatusAsync(HostedServer server, string token)
    {
        using var http = new HttpClient { BaseAddress = new Uri(server.Url) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var answer = await http.GetAsync("/api/auth/me", Ct);
        return answer.StatusCode;
    }

    private sealed class Disposables(IEnumerable<CliRun> runs) : IDisposable
    {
        public IReadOnlyList<CliRun> All { get; } = [.. runs];

        public void Dispose()
        {
            foreach (var run in All) run.Dispose();
        }
    }
}
