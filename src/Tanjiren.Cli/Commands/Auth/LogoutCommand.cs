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
                The sign-in ends at the server first. Workstations that were registered with it finish what they run and take nothing more, until somebody signs in and runs the agent there again. Then its entry in the keychain is deleted, and an agent of this machine that was registered with it takes nothing more, whether the server knows or not. When the server can't be reached the sign-in is forgotten here all the same; it then goes on at the server, and the command says how to end it (exit code 125).

                A personal access token, which --token, --email and `up` sign in with, is only forgotten: it stays valid until it expires or is deleted on the server (DELETE /api/auth/tokens/ID), and a workstation that was registered with one stands on its own key and goes on (drain or remove it).
                """,
        };
        command.SetAction(async (parse, cancellation) =>
        {
            var store = cli.Credentials;
            var name = parse.GetValue(workspace) ?? cli.Variable("TANVRIT_WORKSPACE") ?? store.Read().Current;
            if (name is null || !store.Read().Workspaces.ContainsKey(name))
            {
                cli.Say(name is null ? "not signed in" : $"workspace '{name}' is not signed in");
                return ExitCode.Ok;
            }
            // Under the lock: a refresh of another process would otherwise bring back what is being forgotten.
            using var held = await store.LockAsync(cancellation);
            var kept = store.Read().Workspaces.GetValueOrDefault(name);
            var alive = kept is null ? null : await RevokeAsync(cli, name, kept, cancellation);
            var rest = store.ForgetLocked(name);
            cli.Say($"signed out of workspace '{name}'" + (rest.Current is { } next ? $"; current workspace: '{next}'" : ""));
            if (alive is null) return ExitCode.Ok;
            cli.Say($"error: the server does not know it yet: {alive}");
            var grant = kept!.Grant;
            cli.Say($"hint: the sign-in {grant} goes on there until it is ended: sign in again from any machine and run `tanvrit-compute auth revoke {grant}`");
            return ExitCode.OwnFailure;
        });
        return command;
    }

    /// <summary>Null when the server has ended it, else why it has not.</summary>
    private static async Task<string?> RevokeAsync(CliContext cli, string name, WorkspaceCredential credential, CancellationToken cancellation)
    {
        try
        {
            credential = cli.Credentials.Whole(name, credential);
        }
        catch (SignInEndedException e)
        {
            return credential.Grant is null ? null : e.Message;
        }
        if (credential.RefreshToken is null) return null;
        using var oauth = new OAuthApi(new Uri(credential.Url), cli.Timeouts, cli.Clock);
        try
        {
            await oauth.RevokeAsync(credential.RefreshToken, cancellation);
            return null;
        }
        catch (Exception e) when (e is UnreachableException or ApiException or OAuthException)
        {
            return Output.Text.Safe(e.Message);
        }
    }
}
