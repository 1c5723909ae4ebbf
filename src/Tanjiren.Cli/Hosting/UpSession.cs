using Microsoft.AspNetCore.Builder;

using Tanjiren.Agent;
using Tanjiren.Agent.Settings;
using Tanjiren.Cli.Client;
using Tanjiren.Cli.Jobs;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Cli.Hosting;

internal sealed record UpOptions
{
    /// <summary>Null: the places under TANVRIT_HOME.</summary>
    public string? Data { get; init; }
    public required int Port { get; init; }
    /// <summary>Null: as agent.yaml says.</summary>
    public int? MaxConcurrent { get; init; }
    public required LogLevel LogLevel { get; init; }
    /// <summary>Null: stay until a signal.</summary>
    public CommandSpec? Command { get; init; }
}

/// <summary>
/// One <c>up</c>: control plane, sign-in, registration, agent, and the way back down. The agent stops first, for it must still report to the server
/// what it finished.
/// </summary>
internal sealed class UpSession(CliContext cli, UpOptions options, Interrupts interrupts)
{
    private const string Workspace = "local";

    private string Data => options.Data ?? cli.Home.LocalData;
    /// <summary>Tells a second <c>up</c> where the first one serves.</summary>
    private string UrlFile => Path.Combine(Data, "up.url");
    private string AgentHome => options.Data is { } data ? Path.Combine(data, "agent") : cli.Home.AgentHome(Workspace);

    public async Task<int> RunAsync()
    {
        TanvritHome.MakePrivateDirectory(Data);
        using var held = TryLock();
        if (held is null) return await UseRunningAsync();
        if (OwnerSettings.Read(cli) is not { } settings)
            throw new CliException($"{cli.Home.AgentSettingsFile} can't be used as it is", "correct what is named above, or move the file away");
        if (LocalControlPlane.IsInUse(options.Port))
            throw new CliException($"port {options.Port} on 127.0.0.1 is in use by another program", "choose another port with --port N, or --port 0 for any free one");

        var address = $"http://127.0.0.1:{options.Port}";
        await using var app = LocalControlPlane.Build(new ControlPlaneOptions
        {
            Urls = [address],
            Database = $"sqlite:{Path.Combine(Data, "tanjiren.db")}",
            OfferSetup = false,
            ConfigureLogging = HostLogging.ForControlPlane(options.LogLevel),
        });
        await LocalControlPlane.StartAsync(app, [address], "choose another port with --port N");
        try
        {
            var url = new Uri(app.Urls.First());
            await File.WriteAllTextAsync(UrlFile, ServerAccessRules.Text(url));
            return await ServeAsync(app, url, settings);
        }
        finally
        {
            File.Delete(UrlFile);
            await app.StopAsync(interrupts.Second);
        }
    }

    private async Task<int> ServeAsync(WebApplication app, Uri url, AgentSettings settings)
    {
        var access = await SignInAsync(app, url);
        using var client = new ClientSession(cli, access);
        using var logs = LoggerFactory.Create(HostLogging.ToStandardError(options.LogLevel));
        var identity = await new AgentSetup(cli, client, logs).EnsureAsync(AgentHome, replace: true, insecureHttp: false, interrupts.First);

        // Drained when we are asked to stop, when the command has ended, and when the server fails.
        using var drain = CancellationTokenSource.CreateLinkedTokenSource(interrupts.First, app.Lifetime.ApplicationStopping);
        using var abort = CancellationTokenSource.CreateLinkedTokenSource(interrupts.Second);
        using var drainAgent = options.Command is null ? drain : new CancellationTokenSource();
        var agent = AgentRuntime.RunAsync(new AgentOptions
        {
            Home = AgentHome,
            Workspace = Workspace,
            MaxConcurrent = options.MaxConcurrent ?? settings.MaxConcurrent ?? Math.Clamp(Environment.ProcessorCount, 1, 1000),
            WatchdogCommand = SelfCommand.With("agent", "watchdog"),
            Settings = settings,
            Keychain = cli.Keychain,
        }, new AgentSignals(drainAgent.Token, abort.Token), cli.Clock, logs);

        if (options.Command is { } command)
        {
            // Ctrl-C cancels the job first; the agent must stay to carry that out, so only the job's end drains it.
            var code = await RunJobAsync(client, command, identity, agent);
            await drainAgent.CancelAsync();
            await agent;
            return code;
        }

        Announce(url, identity);
        await Task.WhenAny(agent, drain.Token.UntilCancelledAsync());
        if (interrupts.First.IsCancellationRequested) cli.Say("stopping: what runs is finished first; Ctrl-C again kills it");
        else if (agent.IsCompleted) cli.Say("error: the agent stopped; see above");
        else cli.Say("error: the control plane stopped; see above");
        await drain.CancelAsync();
        var agentCode = await agent;
        return !interrupts.First.IsCancellationRequested ? ExitCode.OwnFailure
            : interrupts.Second.IsCancellationRequested ? ExitCode.Cancelled : agentCode;
    }

    private async Task<int> RunJobAsync(ClientSession client, CommandSpec command, AgentIdentity identity, Task<int> agent)
    {
        using var jobInterrupts = new Interrupts();
        using var first = interrupts.First.UnsafeRegister(static state => ((Interrupts)state!).Raise(), jobInterrupts);
        using var second = interrupts.Second.UnsafeRegister(static state => ((Interrupts)state!).Raise(), jobInterrupts);
        var request = new CreateTaskRequest
        {
            Command = command,
            Targets = new TargetSpec { Workstations = [identity.InstanceId] },
            WorkingDirectory = Environment.CurrentDirectory,
        };
        var job = new JobRunner(cli, client).RunAsync(request, new JobRunOptions { IdempotencyKey = Guid.NewGuid().ToString("N") }, jobInterrupts);
        await Task.WhenAny(job, agent);
        if (job.IsCompleted || interrupts.Second.IsCancellationRequested) return await job;

        // Without its agent the job would wait for ever.
        cli.Say("error: the agent stopped before the job ended; see above, or add --verbose");
        jobInterrupts.Raise();
        jobInterrupts.Raise();
        await job;
        return ExitCode.OwnFailure;
    }

    /// <summary>Another <c>up</c> has these data: a command goes to it, for it is the same machine and the same workspace.</summary>
    private async Task<int> UseRunningAsync()
    {
        if (!File.Exists(UrlFile) || AgentIdentity.Load(AgentHome) is not { } identity
            || !cli.Credentials.TryResolve(new ServerFlags(null, await File.ReadAllTextAsync(UrlFile), false), static _ => null, out var access))
            throw new CliException($"another `up` is just starting or stopping on {Data}", "try again in a moment, or use other data with --data DIR");
        if (options.Command is not { } command)
        {
            cli.Say($"already up at {ServerAccessRules.Text(access.Url)}; stop it where it was started");
            cli.Say($"  run a job:  tanvrit-compute jobs run --workspace {access.Workspace} --workstation {identity.InstanceName} -- COMMAND ARGS…");
            return ExitCode.Ok;
        }
        cli.Say($"using the control plane that runs at {ServerAccessRules.Text(access.Url)}");
        using var client = new ClientSession(cli, access);
        return await new JobRunner(cli, client).RunAsync(new CreateTaskRequest
        {
            Command = command,
            Targets = new TargetSpec { Workstations = [identity.InstanceId] },
            WorkingDirectory = Environment.CurrentDirectory,
        }, new JobRunOptions { IdempotencyKey = Guid.NewGuid().ToString("N") }, interrupts);
    }

    /// <summary>Keeps the stored token if it still works here; else the workspace, its owner and a new token are made.</summary>
    private async Task<ServerAccess> SignInAsync(WebApplication app, Uri url)
    {
        var store = cli.Credentials;
        await store.MoveInAsync(interrupts.First);
        var credentials = store.Read();
        var kept = credentials.Workspaces.GetValueOrDefault(Workspace);
        var stored = kept is null ? null : Whole(store, kept);
        var made = await LocalWorkspace.EnsureAsync(app, stored?.Token, interrupts.First);
        var current = new WorkspaceCredential { Url = ServerAccessRules.Text(url), Token = made.Token, Organization = made.OrganizationId };
        if (stored is null || (stored with { Entry = null }) != current || credentials.Current != Workspace)
        {
            await store.KeepAsync(Workspace, current, interrupts.First);
            cli.WarnOfFiles();
        }
        return new ServerAccess { Workspace = Workspace, Url = url, Token = made.Token };
    }

    /// <summary>Null when its tokens were deleted from the keychain: then new ones are made.</summary>
    private static WorkspaceCredential? Whole(CredentialStore store, WorkspaceCredential kept)
    {
        try
        {
            return store.Whole(Workspace, kept);
        }
        catch (SignInEndedException)
        {
            return null;
        }
    }

    private void Announce(Uri url, AgentIdentity identity)
    {
        new FieldList()
            .Add("control plane", ServerAccessRules.Text(url))
            .Add("workspace", $"{Workspace}, signed in ({Kept()})")
            .Add("workstation", $"{identity.InstanceName}, this machine ({identity.InstanceId})")
            .Add("data", Data)
            .Add("run a job", $"tanvrit-compute jobs run --workstation {identity.InstanceName} -- COMMAND ARGS…")
            .Add("stop", "Ctrl-C finishes what runs; twice kills it")
            .Write(cli.Out);
    }

    private string Kept() => cli.Credentials.Read().Workspaces.GetValueOrDefault(Workspace)?.Entry is null ? cli.Home.CredentialsFile : $"in {cli.Keychain.Title}";

    /// <summary>One <c>up</c> for one data directory: two control planes on one SQLite file would each think itself the only writer.</summary>
    private FileStream? TryLock()
    {
        try
        {
            return new FileStream(Path.Combine(Data, "up.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException)
        {
            return null;
        }
    }
}
