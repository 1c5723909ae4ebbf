using Tanjiren.Cli.Client;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary><c>auth logout</c>: ends the sign-in of a workspace at the server, then forgets it on this machine.</summary>
internal static class LogoutCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var workspace = Options.Text("--workspace", "NAME", "Workspace to sign out of (TANVRIT_WORKSPACE; default: the current one)");
        var command = new CliCommand("logout", "End the sign-in of a workspace on this machine")
        {
            Options = { workspace },
            Details = """
                The sign-in ends at the server first. Workstations that were registered with it finish what they run and take nothing more, until somebody signs in and runs the agent there again. When the server can't be reached the sign-in is forgotten here all the same; it then goes on at the server, and the command says how to end it (exit code 125).

                A personal access token is only forgotten: it stays valid until it expires or is deleted on the server (DELETE /api/auth/tokens/ID).
                """,
        };
        command.SetAction(async (parse, cancellation) =>
        {
            var file = new CredentialFile(cli.Home);
            var name = parse.GetValue(workspace) ?? cli.Variable("TANVRIT_WORKSPACE") ?? file.Read().Current;
            if (name is null || !file.Read().Workspaces.ContainsKey(name))
            {
                cli.Say(name is null ? "not signed in" : $"workspace '{name}' is not signed in");
                return ExitCode.Ok;
            }
            // Under the lock: a refresh of another process would otherwise bring back what is being forgotten.
            using var held = await file.LockAsync(cli.Timeouts, cli.Clock, cancellation);
            var credentials = file.Read();
            var alive = credentials.Workspaces.GetValueOrDefault(name) is { RefreshToken: not null } signedIn ? await RevokeAsync(cli, signedIn, cancellation) : null;
            var rest = credentials.Without(name);
            file.Write(rest);
            cli.Say($"signed out of workspace '{name}'" + (rest.Current is { } next ? $"; current workspace: '{next}'" : ""));
            if (alive is null) return ExitCode.Ok;
            cli.Say($"error: the server does not know it yet: {alive}");
            var grant = credentials.Workspaces[name].Grant;
            cli.Say($"hint: the sign-in {grant} goes on there until it is ended: sign in again from any machine and run `tanvrit-compute auth revoke {grant}`");
            return ExitCode.OwnFailure;
        });
        return command;
    }

    /// <summary>Null when the server has ended it, else why it has not.</summary>
    private static async Task<string?> RevokeAsync(CliContext cli, WorkspaceCredential credential, CancellationToken cancellation)
    {
        using var oauth = new OAuthApi(new Uri(credential.Url), cli.Timeouts, cli.Clock);
        try
        {
            await oauth.RevokeAsync(credential.RefreshToken!, cancellation);
            return null;
        }
        catch (Exception e) when (e is UnreachableException or ApiException or OAuthException)
        {
            return Output.Text.Safe(e.Message);
        }
    }
}
