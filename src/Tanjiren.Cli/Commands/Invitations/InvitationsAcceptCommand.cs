using System.CommandLine;

using Tanjiren.Cli.Client;
using Tanjiren.Cli.Commands.Auth;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Invitations;

/// <summary><c>invitations accept</c>: joins, and signs this command line in where it joined.</summary>
internal static class InvitationsAcceptCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var link = new Argument<string>("LINK") { Description = "The link that you were sent; - reads it from standard input, before the password" };
        var email = Options.Text("--email", "EMAIL", "Your e-mail; the invited one, if the invitation names one");
        var name = Options.Text("--name", "NAME", "If you have no account on that server: what to call you; the password is then the one that you want");
        var workspace = Options.Text("--workspace", "NAME", "Name to keep it under (TANVRIT_WORKSPACE; default: the organization's name)");
        var insecure = Options.Flag("--insecure-http", "Allow plain http to another machine: the password can be read on the way");
        var json = Options.Json("Print who you are there as JSON");
        var command = new CliCommand("accept", "Join an organization by a link, and sign in there")
        {
            Arguments = { link },
            Options = { email, name, workspace, insecure, json },
            Details = "The password is asked for, or read from standard input: that of your account on that server, or with --name the one that your new account shall have (12 characters or more). As with `auth login`, a token for this machine is made with it and kept.",
            Examples = ["tanvrit-compute invitations accept 'https://tanjiren.example.org/invitations?code=…' --email ann@example.org --name Ann"],
        };
        command.SetAction(async (parse, cancellation) =>
        {
            var text = parse.GetValue(link) == "-" ? cli.Input.ReadLine() ?? "" : parse.GetValue(link)!;
            var (url, code) = ReadLink(text.Trim());
            ServerAccessRules.RefuseInsecure(url, parse.GetValue(insecure));
            var person = parse.GetValue(email) ?? throw new CliException("say who joins", "give --email EMAIL");
            var chosen = parse.GetValue(workspace) ?? cli.Variable("TANVRIT_WORKSPACE");
            if (chosen is not null) WorkspaceName.Check(chosen); // before the invitation is used up
            cli.Credentials.MustBeAbleToKeep();
            var password = cli.ReadSecret($"Password of {Text.Safe(person)} at {ServerAccessRules.Text(url)}: ");

            using var session = new ClientSession(cli, new ServerAccess { Workspace = "", Url = url, Token = "" });
            var me = await session.Organizations.AcceptAsync(
                new AcceptInvitationRequest { Code = code, Email = person, Name = parse.GetValue(name), Password = password }, cancellation);
            var token = await PasswordLogin.TradeSessionAsync(session, cancellation);
            var kept = chosen ?? WorkspaceName.From(me.Organization.Name);
            var credential = new WorkspaceCredential { Url = ServerAccessRules.Text(url), Token = token, Organization = me.Organization.Id, InsecureHttp = parse.GetValue(insecure) };
            // Under the lock: a refresh of another process would otherwise be written over, and its next one be taken for theft.
            await cli.Credentials.KeepAsync(kept, credential, CancellationToken.None);
            cli.WarnOfFiles();
            if (parse.GetValue(json)) Json.Write(cli, me, w => w.IdentityBody);
            cli.Say($"you are in {Text.Safe(me.Organization.Name)} as {Words.Of(me.Role)}, and signed in at {ServerAccessRules.Text(url)}; workspace '{kept}'");
            return ExitCode.Ok;
        });
        return command;
    }

    /// <summary>The message never repeats the link: it holds a secret.</summary>
    private static (Uri Server, string Code) ReadLink(string link)
    {
        const string Query = "?code=";
        if (!Uri.TryCreate(link, UriKind.Absolute, out var url) || url.AbsolutePath != "/invitations" || !url.Query.StartsWith(Query, StringComparison.Ordinal) || url.Query.Length == Query.Length)
            throw new CliException("that is not the link of an invitation", "it looks like https://tanjiren.example.org/invitations?code=…; quote it in a shell");
        return (ServerAccessRules.ParseUrl(ServerAccessRules.Text(url)), Uri.UnescapeDataString(url.Query[Query.Length..]));
    }
}
