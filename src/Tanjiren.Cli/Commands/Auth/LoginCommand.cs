using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary><c>auth login</c>: makes a personal access token, or tries one that exists, and keeps it.</summary>
internal static class LoginCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var email = Options.Text("--email", "EMAIL", "Sign in with your password, which is asked for or read from standard input; a token for this machine is made with it");
        var organization = Options.Text("--organization", "NAME", "With --email: organization to act in, by name or id (default: the one that you joined first)");
        var token = Options.Text("--token", "TOKEN", "Personal access token (tnv_…); - reads it from standard input, which keeps it out of the process list");
        var server = Options.Text("--server", "URL", $"Address of the control plane (TANVRIT_SERVER; default: {ServerAccessRules.DefaultServer})");
        var workspace = Options.Text("--workspace", "NAME", "Name to keep it under (TANVRIT_WORKSPACE; default: the organization's name)");
        var insecure = Options.Flag("--insecure-http", "Allow plain http to another machine: the token can be read on the way");
        var command = new CliCommand("login", "Sign in with your password, or with a personal access token")
        {
            Options = { email, organization, token, server, workspace, insecure },
            Details = "With a password, a token that is good for 90 days is made; the password itself is kept nowhere. The token is tried against the server and kept in credentials.json under TANVRIT_HOME (default ~/.tanvrit), readable by you only. The workspace becomes the one that commands use when none is named.",
            Examples =
            [
                "tanvrit-compute auth login --server https://tanjiren.example.org --email ann@example.org",
                "tanvrit-compute auth login --server https://tanjiren.example.org --token -",
            ],
        };
        command.SetAction(async (parse, cancellation) =>
        {
            var url = ServerAccessRules.ParseUrl(parse.GetValue(server) ?? cli.Variable("TANVRIT_SERVER") ?? ServerAccessRules.DefaultServer);
            ServerAccessRules.RefuseInsecure(url, parse.GetValue(insecure));
            var (person, given) = (parse.GetValue(email), parse.GetValue(token));
            if (person is null == given is null) throw new CliException("say who signs in", "give --email EMAIL or --token TOKEN, and only one of them");
            var secret = given ?? await PasswordLogin.MakeTokenAsync(cli, url, person!, parse.GetValue(organization), cancellation);
            if (secret == "-") secret = cli.Input.ReadLine() ?? "";
            secret = secret.Trim();
            if (!secret.StartsWith("tnv_", StringComparison.Ordinal) || secret.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('_' or '-' or '.')))
                throw new CliException("that is not a personal access token: one starts with tnv_", "make one with `auth login --email`, or with POST /api/auth/tokens");

            using var client = new ClientSession(cli, new ServerAccess { Workspace = "", Url = url, Token = secret });
            var me = await client.Api.GetAsync("/api/auth/me", WireJson.Default.IdentityBody, cancellation);
            var chosen = parse.GetValue(workspace) ?? cli.Variable("TANVRIT_WORKSPACE");
            var name = chosen is null ? WorkspaceName.From(me.Organization.Name) : WorkspaceName.Check(chosen);
            var file = new CredentialFile(cli.Home);
            file.Write(file.Read().With(name, new WorkspaceCredential
            {
                Url = ServerAccessRules.Text(url), Token = secret, Organization = me.Organization.Id, InsecureHttp = parse.GetValue(insecure),
            }));
            cli.Say($"signed in at {ServerAccessRules.Text(url)} as {me.Email} ({Output.Words.Of(me.Role)} of {me.Organization.Name}); workspace '{name}'");
            return ExitCode.Ok;
        });
        return command;
    }
}
