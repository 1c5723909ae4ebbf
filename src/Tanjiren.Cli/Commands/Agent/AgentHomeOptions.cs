using System.CommandLine;

using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>--workspace</c> and <c>--home</c>: which agent of this machine.</summary>
internal sealed class AgentHomeOptions
{
    private readonly CliContext cli;
    private readonly Option<string?> workspace;
    private readonly Option<string?> home = Options.Text("--home", "DIR", "Directory of this agent: key, journal, outbox (default: agents/WORKSPACE under TANVRIT_HOME); each has one agent");

    public AgentHomeOptions(CliContext cli, Command command, string workspaceDescription)
    {
        this.cli = cli;
        workspace = Options.Text("--workspace", "NAME", workspaceDescription);
        command.Options.Add(workspace);
        command.Options.Add(home);
    }

    /// <summary>As typed: a name, or an address; null when neither flag nor environment says anything.</summary>
    public string? Workspace(ParseResult parse) =>
        parse.GetValue(workspace) ?? (cli.Variable("TANVRIT_WORKSPACE") is { Length: > 0 } name ? name : null);

    public string Home(ParseResult parse, string workspaceName) =>
        parse.GetValue(home) is { } path ? Path.GetFullPath(path) : cli.Home.AgentHome(WorkspaceName.Check(workspaceName));
}
