using Tanjiren.Agent;
using Tanjiren.Agent.Keys;
using Tanjiren.Cli.Client;
using Tanjiren.Cli.Hosting;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Parsing;
using Tanjiren.Cli.Settings;

namespace Tanjiren.Cli.Commands.Agent;

/// <summary><c>agent run</c>: registers and pairs this machine if it is not yet, then runs the agent until a signal.</summary>
internal static class AgentRunCommand
{
    public static CliCommand Create(CliContext cli)
    {
        var command = new CliCommand("run", "Take jobs on this machine")
        {
            Details = """
                The first time, this machine is registered with the credential that you are signed in with; after that, and after `agent pair`, the machine has a key of its own and needs no credential. Key and credential lie in the keychain; where none answers, in files that only you may read (TANVRIT_KEYCHAIN: auto, file or required). When the sign-in that it was registered with ends (`auth logout`), the agent finishes what runs and takes nothing more. SIGTERM or Ctrl-C drains: what runs is finished, what never started is handed back. A second one aborts: what runs is killed.

                What a job may take of this machine, and other settings of its owner, stand in agent.yaml under TANVRIT_HOME; --max-concurrent and --label win over it.

                Exit codes: 0 drained, 1 the agent failed or agent.yaml is wrong, 2 a person must act (not paired, key revoked, another agent on this home), 125 it never started, 130 aborted.
                """,
            Examples = ["tanvrit-compute agent run --workspace local", "tanvrit-compute agent run --workspace https://tanjiren.example.org"],
        };
        var place = new AgentHomeOptions(cli, command, "Name or address of the workspace (TANVRIT_WORKSPACE; default: the current one)");
        var maxConcurrent = Options.Number("--max-concurrent", "N", "Steps that run at once (default: maxConcurrent of agent.yaml, else the number of processors)", 1, 1000);
        var label = Options.Repeated("--label", "K=V", "Label to announce besides os, arch, cpuCount, memoryMb, gpuCount, gpu, hostname and those of agent.yaml; repeatable");
        var again = Options.Flag("--again", "Register this machine anew, with a new key, when its workstation was removed");
        var insecure = Options.Flag("--insecure-http", "Allow plain http to another machine: logs can be read on the way");
        var verbose = Options.Flag("--verbose", "Log more", "-v");
        command.Options.Add(maxConcurrent);
        command.Options.Add(label);
        command.Options.Add(again);
        command.Options.Add(insecure);
        command.Options.Add(verbose);
        command.SetAction(async (parse, cancellation) =>
        {
            using var telemetry = Telemetry.Start(cli, TelemetryRole.Agent);
            using var interrupts = cli.ListenForInterrupts();
            using var service = ServiceNotice.FromEnvironment(cli.Variable);
            using var logs = LoggerFactory.Create(HostLogging.ToStandardError(parse.GetValue(verbose) ? LogLevel.Debug : LogLevel.Information));
            // First of all: a cap that is not understood must not let anything start.
            if (OwnerSettings.Read(cli) is not { } settings) return AgentExit.Failed;
            var workspace = place.Workspace(parse);
            await cli.Credentials.MoveInAsync(interrupts.First);
            var (name, access) = Access(cli, workspace, parse.GetValue(insecure));
            var home = place.Home(parse, name);
            await EnsureBoundAsync(cli, access, home, parse.GetValue(again), parse.GetValue(insecure), logs, interrupts.First);
            cli.WarnOfFiles();
            return await AgentRuntime.RunAsync(new AgentOptions
            {
                Home = home,
                Workspace = name,
                WatchdogCommand = SelfCommand.With("agent", "watchdog"),
                MaxConcurrent = parse.GetValue(maxConcurrent) ?? settings.MaxConcurrent ?? Math.Clamp(Environment.ProcessorCount, 1, 1000),
                Labels = LabelWords.Parse(parse.GetValue(label)!),
                InsecureHttp = parse.GetValue(insecure),
                Settings = settings,
                Keychain = cli.Keychain,
                SignInGone = new SignInWatch(home, cli.Keychain).Gone,
                Life = service is null ? null : service.Tell,
            }, new AgentSignals(interrupts.First, interrupts.Second), cli.Clock, logs);
        });
        return command;
    }

    /// <summary>The workspace's name, and the credential for it if somebody is signed in.</summary>
    private static (string Name, ServerAccess? Access) Access(CliContext cli, string? workspace, bool insecureHttp)
    {
        var isUrl = workspace?.Contains("://", StringComparison.Ordinal) == true;
        var flags = new ServerFlags(isUrl ? null : workspace, isUrl ? workspace : null, insecureHttp);
        Func<string, string?> variable = isUrl ? name => name == "TANVRIT_WORKSPACE" ? null : cli.Variable(name) : cli.Variable;
        try
        {
            if (cli.Credentials.TryResolve(flags, variable, out var access)) return (access.Workspace, access);
        }
        catch (Exception e) when (e is KeychainException or SignInEndedException)
        {
            // A paired machine starts without the person.
            ErrorReport.Write(cli.Err, e);
        }
        return (isUrl ? WorkspaceName.From(ServerAccessRules.ParseUrl(workspace!).Authority) : workspace ?? cli.Credentials.Read().Current ?? ServerAccessRules.DefaultWorkspace, null);
    }

    private static async Task EnsureBoundAsync(CliContext cli, ServerAccess? access, string home, bool again, bool insecureHttp, ILoggerFactory logs, CancellationToken cancellation)
    {
        var bound = AgentIdentity.Load(home);
        if (access is null)
        {
            if (bound is null)
                throw new CliException("this machine is not paired, and nobody is signed in who could register it",
                    "sign in with `tanvrit-compute auth login`, or pair with `tanvrit-compute agent pair --server URL --code CODE`");
            return;
        }
        using var client = new ClientSession(cli, access);
        try
        {
            var identity = await new AgentSetup(cli, client, logs).EnsureAsync(home, again, insecureHttp, cancellation);
            cli.Say($"workstation {Text.Safe(identity.InstanceName)} ({identity.InstanceId}) of {Text.Safe(identity.OrganizationName)} at {identity.ServerUrl}");
        }
        catch (Exception e) when (bound is not null && !again && e is UnreachableException or ApiException or OAuthException or SignInEndedException)
        {
            // A paired machine starts without the server and without the person: both may come later.
            cli.Say($"could not check the registration ({Text.Safe(e.Message)}); starting with the key that is here");
            if (e is CliException { Hint: { } hint }) cli.Say("hint: " + hint);
        }
    }
}
