using Tanjiren.Agent;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>agent pair</c>: binds this machine to a workstation that an admin registered.</summary>
internal static class AgentPairCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var server = Options.Text("--server", "URL", "Address of the control plane");
        server.Required = true;
        var code = Options.Text("--code", "CODE", "The code from `workstations pair-code`; case and dashes do not matter");
        code.Required = true;
        var again = Options.Flag("--again", "Bind again, with a new key, although this home is bound already");
        var insecure = Options.Flag("--insecure-http", "Allow plain http to another machine: logs can be read on the way");
        var command = new CliCommand("pair", "Bind this machine to a workstation with a one-time code")
        {
            Options = { server, code, again, insecure },
            Details = "A key pair is made on this machine; only its public half leaves it. Compare the fingerprint printed here with the one in `workstations show`.",
            Examples = ["tanvrit-compute agent pair --server https://tanjiren.example.org --code k7m2q-9xw4t"],
        };
        var place = new AgentHomeOptions(cli, command, "Name to keep it under (TANVRIT_WORKSPACE; default: after the server's host)");
        command.SetAction(async (parse, cancellation) =>
        {
            var url = ServerAccessRules.ParseUrl(parse.GetValue(server)!);
            ServerAccessRules.RefuseInsecure(url, parse.GetValue(insecure));
            var workspace = place.Workspace(parse) ?? NameFor(cli, url);
            var home = place.Home(parse, workspace);
            if (AgentIdentity.Load(home) is { } bound && !parse.GetValue(again))
                throw new CliException($"{home} is bound to workstation {Text.Safe(bound.InstanceName)} at {bound.ServerUrl}",
                    "run it with `tanvrit-compute agent run`, or bind it again with --again, or pair another agent with --home DIR");
            using var logs = LoggerFactory.Create(HostLogging.ToStandardError(LogLevel.Warning));
            var identity = await AgentSetup.PairAsync(cli, home, ServerAccessRules.Text(url), parse.GetValue(code)!, parse.GetValue(again), parse.GetValue(insecure), logs, cancellation);
            SignInWatch.Forget(home);
            cli.WarnOfFiles();
            new FieldList()
                .Add("workstation", $"{identity.InstanceName} ({identity.InstanceId})")
                .Add("organization", identity.OrganizationName)
                .Add("server", identity.ServerUrl)
                .Add("key", identity.KeyFingerprint)
                .Add("home", home)
                .Write(cli.Out);
            cli.Say($"next: `tanvrit-compute agent run --workspace {workspace}`");
            return ExitCode.Ok;
        });
        return command;
    }

    internal static string NameFor(CliContext cli, Uri url)
    {
        var signedIn = cli.Credentials.Read().Workspaces.FirstOrDefault(w => ServerAccessRules.SameServer(w.Value.Url, url.ToString())).Key;
        return signedIn ?? WorkspaceName.From(url.Authority);
    }
}
