using Tanjiren.Cli;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Cli;

public sealed class SettingsTests : IDisposable
{
    private readonly CliRun cli = new();

    private static readonly Credentials Stored = new Credentials()
        .With("far", new WorkspaceCredential { Url = "https://far.example", Token = "tnv_far" })
        .With("local", new WorkspaceCredential { Url = "http://127.0.0.1:7433", Token = "tnv_local" });

    public void Dispose() => cli.Dispose();

    [Theory]
    // flags, environment -> workspace, url, token
    [InlineData(null, null, null, null, null, "local", "http://127.0.0.1:7433/", "tnv_local")]
    [InlineData("far", null, "local", null, null, "far", "https://far.example/", "tnv_far")]
    [InlineData(null, null, "far", null, null, "far", "https://far.example/", "tnv_far")]
    [InlineData(null, "https://far.example", null, null, null, "far", "https://far.example/", "tnv_far")]
    [InlineData(null, null, null, "https://FAR.example/", null, "far", "https://far.example/", "tnv_far")]
    [InlineData(null, "https://far.example", null, "http://127.0.0.1:7433", null, "far", "https://far.example/", "tnv_far")]
    [InlineData(null, null, null, null, "tnv_env", "local", "http://127.0.0.1:7433/", "tnv_env")]
    [InlineData(null, "https://new.example", null, null, "tnv_env", "new.example", "https://new.example/", "tnv_env")]
    public void Flags_win_over_environment_over_file(string? flagWorkspace, string? flagServer, string? envWorkspace, string? envServer, string? envToken,
        string workspace, string url, string token)
    {
        var access = ServerAccessRules.Resolve(new ServerFlags(flagWorkspace, flagServer, false), name => name switch
        {
            "TANVRIT_WORKSPACE" => envWorkspace,
            "TANVRIT_SERVER" => envServer,
            "TANVRIT_TOKEN" => envToken,
            _ => null,
        }, Stored);
        (access.Workspace, access.Url.ToString(), access.Token).ShouldBe((workspace, url, token));
    }

    [Theory]
    [InlineData(null, "https://other.example")]
    [InlineData(null, "http://127.0.0.1:7434")]
    [InlineData(null, "http://far.example")]
    [InlineData("far", "https://other.example")]
    [InlineData("unknown", null)]
    public void A_stored_token_goes_nowhere_else(string? workspace, string? server) =>
        Should.Throw<CliException>(() => ServerAccessRules.Resolve(new ServerFlags(workspace, server, true), static _ => null, Stored));

    [Theory]
    [InlineData("far.example")]
    [InlineData("ftp://far.example")]
    [InlineData("https://user:pass@far.example")]
    [InlineData("https://far.example/path")]
    [InlineData("https://far.example?x=1")]
    public void An_address_is_scheme_host_and_port(string url) => Should.Throw<CliException>(() => ServerAccessRules.ParseUrl(url));

    [Fact]
    public void Plain_http_to_another_machine_needs_to_be_allowed()
    {
        var url = new Uri("http://far.example");
        Should.Throw<CliException>(() => ServerAccessRules.RefuseInsecure(url, allowed: false)).Hint!.ShouldContain("--insecure-http");
        ServerAccessRules.RefuseInsecure(url, allowed: true);
        ServerAccessRules.RefuseInsecure(new Uri("http://[::1]:1"), allowed: false);
    }

    [Fact]
    public void Credentials_are_private_whole_and_leave_no_draft_behind()
    {
        var file = new CredentialFile(new TanvritHome(cli.Home));
        file.Read().Workspaces.ShouldBeEmpty();
        file.Write(Stored);
        file.Write(Stored.Without("local"));
        file.Read().Current.ShouldBe("far");
        file.Read().Workspaces.Keys.ShouldBe(["far"]);
        Directory.GetFiles(cli.Home).ShouldBe([Path.Combine(cli.Home, "credentials.json")]);
        if (!OperatingSystem.IsWindows())
            File.GetUnixFileMode(Path.Combine(cli.Home, "credentials.json")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    [Fact]
    public async Task Broken_credentials_are_an_error_that_names_the_file()
    {
        await File.WriteAllTextAsync(Path.Combine(cli.Home, "credentials.json"), "{", TestContext.Current.CancellationToken);
        (await cli.InvokeAsync("jobs", "list")).ShouldBe(125);
        cli.Error.Text.ShouldContain("credentials.json is not valid JSON");
    }

    [Theory]
    [InlineData("ACME Ltd./Berlin", "acme-ltd.-berlin")]
    [InlineData("../..", "workspace")]
    [InlineData("far.example:8443", "far.example-8443")]
    public void A_workspace_is_named_so_that_it_can_be_a_directory(string text, string name)
    {
        WorkspaceName.From(text).ShouldBe(name);
        WorkspaceName.Check(name).ShouldBe(name);
        Should.Throw<CliException>(() => WorkspaceName.Check("../x"));
    }

    [Fact]
    public async Task Login_tries_the_token_keeps_it_and_logout_forgets_it()
    {
        await using var server = await FakeControlPlane.StartAsync();
        server.On("GET", "/api/auth/me", new IdentityBody
        {
            UserId = "usr_1", Email = "ann@example.org", Role = Role.Admin, Organization = new OrganizationBody { Id = "org_1", Name = "ACME Ltd" },
        });
        cli.Input = "tnv_secret\n";
        (await cli.InvokeAsync("auth", "login", "--server", server.Url, "--token", "-")).ShouldBe(0);
        server.Requests.Single()["Authorization"].ShouldBe("Bearer tnv_secret");
        cli.Error.Text.ShouldBe($"signed in at {server.Url} as ann@example.org (admin of ACME Ltd); workspace 'acme-ltd'\n");

        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(0);
        cli.Output.Text.ShouldBe($"user:         ann@example.org\nrole:         admin\norganization: ACME Ltd (org_1)\nworkspace:    acme-ltd\nserver:       {server.Url}\n");

        (await cli.InvokeAsync("auth", "logout")).ShouldBe(0);
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(125);
        cli.Error.Text.ShouldStartWith("error: not signed in\nhint: ");
    }

    [Fact]
    public async Task Login_by_password_keeps_a_new_token_and_ends_its_session()
    {
        await using var server = await FakeControlPlane.StartAsync();
        var me = new IdentityBody
        {
            UserId = "usr_1", Email = "ann@example.org", Role = Role.Owner, Organization = new OrganizationBody { Id = "org_1", Name = "Acme" },
        };
        server.On("POST", "/api/auth/login", (context, _) =>
        {
            context.Response.Headers.SetCookie = "tnv_session=s1; path=/; httponly; samesite=strict";
            return FakeControlPlane.JsonAsync(context, me);
        });
        server.On("POST", "/api/auth/tokens", new CreatedToken
        {
            Token = new TokenBody { Id = "tok_1", Name = "x", CreatedAt = DateTimeOffset.UnixEpoch, ExpiresAt = DateTimeOffset.UnixEpoch.AddDays(90) }, Secret = "tnv_made",
        }, 201);
        server.On("POST", "/api/auth/logout", (context, _) =>
        {
            context.Response.StatusCode = 204;
            return Task.CompletedTask;
        });
        server.On("GET", "/api/auth/me", me);
        cli.Input = "correct horse battery\n";
        (await cli.InvokeAsync("auth", "login", "--server", server.Url, "--email", "ann@example.org", "--organization", "Acme")).ShouldBe(0, cli.Error.Text);

        var (login, token, logout) = (server.Requests[0], server.Requests[1], server.Requests[2]);
        (login["Authorization"], login["Origin"]).ShouldBe(("", server.Url));
        login.Body.ShouldBe("{\"email\":\"ann@example.org\",\"password\":\"correct horse battery\",\"organization\":\"Acme\"}");
        (token.Path, token["Cookie"], logout.Path, logout["Cookie"]).ShouldBe(("/api/auth/tokens", "tnv_session=s1", "/api/auth/logout", "tnv_session=s1"));
        new CredentialFile(new TanvritHome(cli.Home)).Read().Workspaces["acme"].Token.ShouldBe("tnv_made");
        (await File.ReadAllTextAsync(Path.Combine(cli.Home, "credentials.json"), TestContext.Current.CancellationToken)).ShouldNotContain("correct horse");
    }

    [Fact]
    public async Task Login_takes_a_person_or_a_token_and_not_both()
    {
        (await cli.InvokeAsync("auth", "login", "--email", "a@b.c", "--token", "tnv_x")).ShouldBe(125);
        cli.Error.Text.ShouldContain("--email EMAIL or --token TOKEN, or neither");
        (await cli.InvokeAsync("auth", "login", "--organization", "Acme")).ShouldBe(125);
        (await cli.InvokeAsync("auth", "login", "--email", "a@b.c")).ShouldBe(125);
        cli.Error.Text.ShouldStartWith("error: no password was given");
    }

    [Fact]
    public async Task A_refused_token_is_not_kept()
    {
        await using var server = await FakeControlPlane.StartAsync();
        server.On("GET", "/api/auth/me", (context, _) => FakeControlPlane.ProblemAsync(context, ErrorCode.InvalidCredentials, 401, "The token is unknown."));
        (await cli.InvokeAsync("auth", "login", "--server", server.Url, "--token", "tnv_wrong")).ShouldBe(125);
        cli.Error.Text.ShouldStartWith("error: The token is unknown.\nhint: sign in again");
        Directory.GetFiles(cli.Home).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_redirect_is_not_followed_with_the_token()
    {
        await using var server = await FakeControlPlane.StartAsync();
        await using var thief = await FakeControlPlane.StartAsync();
        server.On("GET", "/api/auth/me", (context, _) =>
        {
            context.Response.StatusCode = 307;
            context.Response.Headers.Location = thief.Url + "/api/auth/me";
            return Task.CompletedTask;
        });
        (await cli.SignedIn(server).InvokeAsync("auth", "whoami")).ShouldBe(125);
        thief.Requests.ShouldBeEmpty();
    }
}
