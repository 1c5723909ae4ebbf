using Tanjiren.Agent;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>agent recover</c>: the workstation stays what it is, its lost key is replaced.</summary>
internal static class AgentRecoverCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var server = Options.Text("--server", "URL", "Address of the control plane");
        server.Required = true;
        var code = Options.Text("--code", "CODE", "The code from `workstations recover`; case and dashes do not matter");
        code.Required = true;
        var insecure = Options.Flag("--insecure-http", "Allow plain http to another machine: logs can be read on the way");
        var command = new CliCommand("recover", "Get a workstation whose key is lost another key")
        {
            Options = { server, code, insecure },
            Details = "It makes a new key, shows its fingerprint and waits until an admin has typed the end of it (`workstations approve-key`); then the workstation goes on under its old name with the new key. It can be stopped and run again with the same code. The agent must not run meanwhile.",
            Examples = ["tanvrit-compute agent recover --server https://tanjiren.example.org --code k7m2q-9xw4t"],
        };
        var place = new AgentHomeOptions(cli, command, "Name to keep it under (TANVRIT_WORKSPACE; default: after the server's host)");
        command.SetAction(async (parse, cancellation) =>
        {
            var url = ServerAccessRules.ParseUrl(parse.GetValue(server)!);
            ServerAccessRules.RefuseInsecure(url, parse.GetValue(insecure));
            var workspace = place.Workspace(parse) ?? AgentPairCommand.NameFor(cli, url);
            var home = place.Home(parse, workspace);
            using var logs = LoggerFactory.Create(HostLogging.ToStandardError(LogLevel.Warning));
            var result = await Recovery.RecoverAsync(home, ServerAccessRules.Text(url), parse.GetValue(code)!, parse.GetValue(insecure), answer => Tell(cli, answer), cli.Clock, logs, cancellation, cli.Keychain);
            var identity = result.Identity ?? throw new CliException(Text.Safe(result.Error ?? "the recovery failed"));
            cli.WarnOfFiles();
            cli.Say($"approved: {Text.Safe(identity.InstanceName)} has the new key");
            cli.Say($"next: `tanvrit-compute agent run --workspace {workspace}`");
            return ExitCode.Ok;
        });
        return command;
    }

    private static void Tell(CliContext cli, RecoverResponse answer)
    {
        new FieldList()
            .Add("workstation", $"{answer.InstanceName} ({answer.InstanceId})")
            .Add("organization", answer.OrganizationName)
            .Add("new key", answer.KeyFingerprint)
            .Write(cli.Out);
        cli.Say($"waiting until {Text.Instant(answer.Rotation.ExpiresAt, cli.Clock)} for an admin to run `tanvrit-compute workstations approve-key {Text.CommandLine([Text.Safe(answer.InstanceName)])}` and type the last 8 characters of the new key");
    }
}
