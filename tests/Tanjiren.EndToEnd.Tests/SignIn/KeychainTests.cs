using System.Text;

using Tanjiren.Cli.Settings;
using Tanjiren.EndToEnd.Tests.Cli;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.SignIn;

/// <summary>The command line's tokens in a keychain: kept, renewed, moved in, deleted, and what is said when it does not give them out.</summary>
public sealed class KeychainTests : IAsyncLifetime
{
    private readonly MemoryKeychain store = new();
    private HostedServer server = null!;
    private CliRun cli = null!;

    private static CancellationToken Ct => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        // Two seconds are less than the slack, so every command renews.
        server = await HostedServer.StartAsync(accessTokenSeconds: 2);
        cli = Person();
    }

    public async ValueTask DisposeAsync()
    {
        cli.Dispose();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task A_sign_in_lies_there_is_renewed_there_and_is_gone_after_the_logout()
    {
        await LoginAsync(cli);
        var entry = store.Names.ShouldHaveSingleItem();
        Stored().Entry.ShouldBe(entry);
        cli.Error.Text.ShouldNotContain("warning");
        var first = Encoding.UTF8.GetString(store.Peek(entry)!);
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(0, cli.Error.Text);
        (await cli.InvokeAsync("auth", "print-token")).ShouldBe(0, cli.Error.Text);
        cli.Output.Text.ShouldStartWith("tnv_");
        store.Names.ShouldBe([entry]);
        Encoding.UTF8.GetString(store.Peek(entry)!).ShouldNotBe(first);
        SecretsInFiles().ShouldBeEmpty();

        (await cli.InvokeAsync("auth", "logout")).ShouldBe(0, cli.Error.Text);

        store.Names.ShouldBeEmpty();
        new CredentialFile(new TanvritHome(cli.Home)).Read().Workspaces.ShouldBeEmpty();
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(125);
    }

    [Fact]
    public async Task Commands_at_once_renew_one_after_another_and_the_sign_in_lives()
    {
        await LoginAsync(cli);
        var others = Enumerable.Range(0, 6).Select(_ => Person(cli.Home)).ToList();
        (await Task.WhenAll(others.Select(o => o.InvokeAsync("auth", "whoami")))).ShouldAllBe(code => code == 0, string.Concat(others.Select(o => o.Error.Text)));
        foreach (var other in others) other.Dispose();
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(0, cli.Error.Text);
        store.Names.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_second_sign_in_takes_the_place_of_the_first_and_leaves_nothing_of_it()
    {
        await LoginAsync(cli);
        var first = Stored().Entry;
        await LoginAsync(cli);
        store.Names.ShouldBe([Stored().Entry!]);
        Stored().Entry.ShouldNotBe(first);
        cli.Error.Text.ShouldContain("that was kept here before may go on; `tanvrit-compute auth revoke gnt_");
    }

    [Fact]
    public async Task A_sign_in_in_the_file_moves_in_and_stopped_at_any_moment_it_is_in_one_of_the_two()
    {
        cli.Variables["TANVRIT_KEYCHAIN"] = "file";
        await LoginAsync(cli);
        SecretsInFiles().ShouldNotBeEmpty();
        cli.Variables["TANVRIT_KEYCHAIN"] = "required";
        for (var operation = 1; ; operation++)
        {
            operation.ShouldBeLessThan(40);
            store.StopAt(operation);
            try
            {
                using var context = cli.Context();
                await context.Credentials.MoveInAsync(Ct);
                break;
            }
            catch (Tanjiren.Agent.Keys.KeychainException)
            {
                store.GoOn();
                (await cli.InvokeAsync("auth", "whoami")).ShouldBe(0, $"stopped before operation {operation}: {cli.Error.Text}");
            }
        }
        store.GoOn();
        using (var context = cli.Context()) await context.Credentials.MoveInAsync(Ct);
        SecretsInFiles().ShouldBeEmpty();
        store.Kept.ShouldBe([Stored().Entry!]);
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(0, cli.Error.Text);
    }

    [Fact]
    public async Task Locked_it_says_what_to_do_and_nothing_is_lost()
    {
        await LoginAsync(cli);
        store.Locked = true;
        foreach (var command in (string[][])[["auth", "whoami"], ["auth", "print-token"], ["auth", "logout"], ["jobs", "list"]])
        {
            (await cli.InvokeAsync(command)).ShouldBe(125);
            cli.Error.Text.ShouldContain("is locked, or nothing serves it\nhint: ");
        }
        (await cli.InvokeAsync("agent", "status")).ShouldBe(1, "no secret is needed for that");
        store.Locked = false;
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(0, cli.Error.Text);
    }

    [Fact]
    public async Task Deleted_by_hand_it_is_a_sign_in_that_has_ended()
    {
        await LoginAsync(cli);
        var grant = Stored().Grant;
        store.Delete(Stored().Entry!);
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(125);
        cli.Error.Text.ShouldBe($"error: the sign-in of workspace 'local' is no longer in the test's keychain\nhint: sign in again with `tanvrit-compute auth login --server {server.Url}`\n");
        (await cli.InvokeAsync("auth", "logout")).ShouldBe(125);
        cli.Error.Text.ShouldContain($"tanvrit-compute auth revoke {grant}");
        (await cli.InvokeAsync("auth", "logout")).ShouldBe(0);
        cli.Error.Text.ShouldBe("not signed in\n");
    }

    [Fact]
    public async Task Where_none_answers_one_warning_says_how_to_get_one()
    {
        store.Locked = true;
        await LoginAsync(cli);
        cli.Error.Text.Split('\n').Count(line => line.StartsWith("warning: ", StringComparison.Ordinal)).ShouldBe(1);
        cli.Error.Text.ShouldContain($"warning: no keychain answers (the test's keychain is locked, or nothing serves it), so sign-ins and keys are kept in files that only you may read, under {cli.Home}\nhint: ");
        cli.Error.Text.ShouldContain("TANVRIT_KEYCHAIN=file");
        (await cli.InvokeAsync("auth", "whoami")).ShouldBe(0);
        cli.Error.Text.ShouldBeEmpty();
        if (!OperatingSystem.IsWindows()) File.GetUnixFileMode(Path.Combine(cli.Home, "credentials.json")).ShouldBe(UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    [Fact]
    public async Task Required_and_away_nobody_is_asked_to_approve_what_could_not_be_kept()
    {
        store.Locked = true;
        cli.Variables["TANVRIT_KEYCHAIN"] = "required";
        (await cli.InvokeAsync("auth", "login", "--server", server.Url)).ShouldBe(125);
        cli.Error.Text.ShouldNotContain("user_code");
        cli.Error.Text.ShouldContain("error: TANVRIT_KEYCHAIN is 'required', and no keychain answers: ");
        (await cli.InvokeAsync("invitations", "accept", server.Url + "/invitations?code=inv_0", "--email", "max@example.org", "--name", "Max")).ShouldBe(125);
        cli.Error.Text.ShouldContain("error: TANVRIT_KEYCHAIN is 'required', and no keychain answers: ");
        SecretsInFiles().ShouldBeEmpty();
        store.Names.ShouldBeEmpty();
    }

    [Fact]
    public async Task The_setting_has_three_values()
    {
        cli.Variables["TANVRIT_KEYCHAIN"] = "yes";
        (await cli.InvokeAsync("jobs", "list")).ShouldBe(125);
        cli.Error.Text.ShouldBe("error: TANVRIT_KEYCHAIN is 'yes'\nhint: give auto (the keychain where one answers, else files), file, or required\n");
    }

    private CliRun Person(string? home = null)
    {
        var run = new CliRun { Secrets = store };
        run.Variables["TANVRIT_KEYCHAIN"] = "auto";
        if (home is not null) run.Variables["TANVRIT_HOME"] = home;
        return run;
    }

    private async Task LoginAsync(CliRun run) => (await server.LoginAsync(run, server.Person.ApproveAsync)).ShouldBe(0, run.Error.Text);

    private WorkspaceCredential Stored() => new CredentialFile(new TanvritHome(cli.Home)).Read().Workspaces["local"];

    private IEnumerable<string> SecretsInFiles() => Directory.EnumerateFiles(cli.Home, "*", SearchOption.AllDirectories)
        .Where(path => File.ReadAllText(path) is var text && (text.Contains("tnv_", StringComparison.Ordinal) || text.Contains("tnr_", StringComparison.Ordinal)));
}
