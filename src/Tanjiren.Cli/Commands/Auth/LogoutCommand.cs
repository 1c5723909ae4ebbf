using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Auth;

/// <summary><c>auth logout</c>: forgets a workspace's token on this machine.</summary>
internal static class LogoutCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var workspace = Options.Text("--workspace", "NAME", "Workspace to sign out of (TANVRIT_WORKSPACE; default: the current one)");
        var command = new CliCommand("logout", "Forget the token of a workspace on this machine")
        {
            Options = { workspace },
            Details = "The token itself stays valid until it expires or is deleted on the server (DELETE /api/auth/tokens/ID).",
        };
        command.SetAction(parse =>
        {
            var file = new CredentialFile(cli.Home);
            var credentials = file.Read();
            var name = parse.GetValue(workspace) ?? cli.Variable("TANVRIT_WORKSPACE") ?? credentials.Current;
            if (name is null || !credentials.Workspaces.ContainsKey(name))
            {
                cli.Say(name is null ? "not signed in" : $"workspace '{name}' is not signed in");
                return ExitCode.Ok;
            }
            var rest = credentials.Without(name);
            file.Write(rest);
            cli.Say($"signed out of workspace '{name}'" + (rest.Current is { } next ? $"; current workspace: '{next}'" : ""));
            return ExitCode.Ok;
        });
        return command;
    }
}
