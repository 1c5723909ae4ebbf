using Tanjiren.Agent;
using Tanjiren.Agent.Keys;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>agent rotate-key</c>: makes the new key. Asking for it is the agent's own affair, so there is one that talks to the server.</summary>
internal static class AgentRotateKeyCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("rotate-key", "Make a new key for this machine and have an admin approve it")
        {
            Details = "The new key is kept where the agent's key is, in the keychain or the agent's home; the running agent asks for it within seconds (within a minute while it is suspended), any other at its next start. Until an admin has approved it with `workstations approve-key`, the old key goes on; what runs is not disturbed. Run again it shows the key that waits already.",
            Examples = ["tanvrit-compute agent rotate-key"],
        };
        var place = new AgentHomeOptions(cli, command, "Workspace of the agent (TANVRIT_WORKSPACE; default: the current one)");
        command.SetAction(parse =>
        {
            var home = place.Home(parse, place.Workspace(parse) ?? cli.Credentials.Read().Current ?? ServerAccessRules.DefaultWorkspace);
            if (AgentIdentity.Load(home) is not { } identity)
                throw new CliException($"{home} is not paired", "pair it with `tanvrit-compute agent pair`, or choose another agent with --workspace or --home");
            var fingerprint = Start(cli, home);
            cli.WarnOfFiles();
            new FieldList().Add("workstation", $"{identity.InstanceName} ({identity.InstanceId})").Add("key", identity.KeyFingerprint).Add("new key", fingerprint).Write(cli.Out);
            cli.Say(AgentStatus.IsRunning(home) ? "the running agent asks for it now" : "no agent runs here: it is asked for at the next `agent run`");
            cli.Say($"next: an admin runs `tanvrit-compute workstations approve-key {Text.CommandLine([Text.Safe(identity.InstanceName)])}` and types the last 8 characters of the new key");
            return ExitCode.Ok;
        });
        return command;
    }

    private static string Start(CliContext cli, string home)
    {
        try
        {
            return KeyRotation.Start(home, cli.Keychain);
        }
        catch (InvalidDataException e)
        {
            throw new CliException(e.Message, inner: e);
        }
    }
}
