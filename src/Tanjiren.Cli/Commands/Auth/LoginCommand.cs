using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary><c>auth login</c>: signs in on a page of the server, with a password, or with a personal access token that exists; and keeps what it got.</summary>
internal static class LoginCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var noBrowser = Options.Flag("--no-browser", "Only print the page's address, do not open it");
        var email = Options.Text("--email", "EMAIL", "Sign in with your password, which is asked for or read from standard input; a token for this machine is made with it");
        var organization = Options.Text("--organization", "NAME", "With --email: organization to act in, by name or id (default: the one that you have been in longest)");
        var token = Options.Text("--token", "TOKEN", "Personal access token (tnv_…); - reads it from standard input, which keeps it out of the process list");
        var server = Options.Text("--server", "URL", $"Address of the control plane (TANVRIT_SERVER; default: {ServerAccessRules.DefaultServer})");
        var workspace = Options.Text("--workspace", "NAME", "Name to keep it under (TANVRIT_WORKSPACE; default: the organization's name)");
        var insecure = Options.Flag("--insecure-http", "Allow plain http to another machine: the token can be read on the way");
        var command = new CliCommand("login", "Sign in on a page of the server, with your password, or with a personal access token")
        {
            Options = { noBrowser, email, organization, token, server, workspace, insecure },
            Details = """
                Without --email and --token, a page of the server opens, here or on any other device, where you approve the code that is printed. This machine then holds an access token of ten minutes, which every command renews as needed; the sign-in ends with `auth logout`, or when it is not used for 30 days. With a password, a token that is good for 90 days is made; the password itself is kept nowhere.

                What was got is tried against the server and kept in the keychain; where none answers, in credentials.json under TANVRIT_HOME (default ~/.tanvrit), readable by you only. TANVRIT_KEYCHAIN says which is meant: auto, file or required. The workspace becomes the one that commands use when none is named.
                """,
            Examples =
            [
                "tanvrit-compute auth login --server https://tanjiren.example.org",
                "tanvrit-compute auth login --server https://tanjiren.example.org --email ann@example.org",
                "tanvrit-compute auth login --server https://tanjiren.example.org --token -",
            ],
        };
        command.SetAction(async (parse, cancellation) =>
        {
            var url = ServerAccessRules.ParseUrl(parse.GetValue(server) ?? cli.Variable("TANVRIT_SERVER") ?? ServerAccessRules.DefaultServer);
            ServerAccessRules.RefuseInsecure(url, parse.GetValue(insecure));
            var (person, given) = (parse.GetValue(email), parse.GetValue(token));
            if (person is not null && given is not null) throw new CliException("say who signs in once", "give --email EMAIL or --token TOKEN, or neither");
            if (person is null && parse.GetValue(organization) is not null)
                throw new CliException("--organization goes with --email", "on the page, the organization is chosen there; a token has its own");

            var chosen = parse.GetValue(workspace) ?? cli.Variable("TANVRIT_WORKSPACE");
            if (chosen is not null) WorkspaceName.Check(chosen); // before anybody approves anything
            cli.Credentials.MustBeAbleToKeep();
            var credential = new WorkspaceCredential { Url = ServerAccessRules.Text(url), Token = "", InsecureHttp = parse.GetValue(insecure) };
            credential = person is null && given is null
                ? credential.With(await DeviceLogin.RunAsync(cli, url, !parse.GetValue(noBrowser), cancellation), cli.Clock.GetUtcNow())
                : credential with { Token = CheckToken(given ?? await PasswordLogin.MakeTokenAsync(cli, url, person!, parse.GetValue(organization), cancellation), cli) };

            using var client = new ClientSession(cli, new ServerAccess { Workspace = "", Url = url, Token = credential.Token });
            var me = await client.Api.GetAsync("/api/auth/me", WireJson.Default.IdentityBody, cancellation);
            var name = chosen ?? WorkspaceName.From(me.Organization.Name);
            // Not cancelled any more: tokens that were made and not kept could only be ended elsewhere.
            var replaced = await cli.Credentials.KeepAsync(name, credential with { Organization = me.Organization.Id }, CancellationToken.None);
            cli.WarnOfFiles();
            cli.Say($"signed in at {ServerAccessRules.Text(url)} as {me.Email} ({Words.Of(me.Role)} of {me.Organization.Name}); workspace '{name}'");
            // It is not ended here: a workstation may stand on it, and works on until somebody says otherwise.
            if (replaced is { RefreshToken: not null, Grant: { } grant } && replaced.Url == ServerAccessRules.Text(url) && replaced.Organization == me.Organization.Id)
                cli.Say($"note: the sign-in {Text.Safe(grant)} that was kept here before may go on; `tanvrit-compute auth revoke {Text.Safe(grant)}` ends it");
            else if (replaced is not null && replaced.Token != credential.Token)
                cli.Say($"note: what was kept under '{name}' before, for {replaced.Url}, is forgotten here and may go on there");
            return ExitCode.Ok;
        });
        return command;
    }

    private static string CheckToken(string given, CliContext cli)
    {
        var secret = (given == "-" ? cli.Input.ReadLine() ?? "" : given).Trim();
        return secret.StartsWith("tnv_", StringComparison.Ordinal) && secret.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.')
            ? secret
            : throw new CliException("that is not a personal access token: one starts with tnv_", "make one with `auth login --email`, or with POST /api/auth/tokens");
    }
}
