using System.Security.Cryptography;
using Tanjiren.Agent.Connection;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Keys;

namespace Tanjiren.Agent;

/// <summary>Runs the agent of one home until it is told to stop.</summary>
public static partial class AgentRuntime
{
    /// <summary>Runs until drained, aborted, or unable to go on; the result is one of <see cref="AgentExit"/>.</summary>
    public static Task<int> RunAsync(AgentOptions options, AgentSignals signals, TimeProvider clock, ILoggerFactory logs)
    {
        ArgumentNullException.ThrowIfNull(logs);
        return RunAsync(options, signals, AgentPlatform.OfThisMachine(logs), clock, logs);
    }

    internal static async Task<int> RunAsync(AgentOptions options, AgentSignals signals, AgentPlatform platform, TimeProvider clock, ILoggerFactory logs)
    {
        var log = logs.CreateLogger("Tanjiren.Agent");
        var errors = options.Validate();
        if (errors.Count > 0) return Refuse(log, AgentExit.Failed, string.Join(' ', errors));
        var home = new AgentHome(options.Home, options.Keychain);
        using var held = home.TryLock();
        if (held is null) return Refuse(log, AgentExit.NeedsAttention, $"Another agent runs on '{home.Directory}'; stop it, or give this one a home of its own.");
        if (AgentIdentity.Load(home.Directory) is not { } identity)
            return Refuse(log, AgentExit.NeedsAttention, $"'{home.Directory}' holds no identity; pair this machine first, with 'agent pair'.");
        var (baseUrl, addressError) = ServerAddress.Parse(identity.ServerUrl, options.InsecureHttp);
        if (baseUrl is null) return Refuse(log, AgentExit.NeedsAttention, addressError!);
        ECDsa? key;
        try
        {
            home.FinishPairing(log);
            home.MoveKeysIn(log);
            key = home.KeyStore(home.Key).Load();
            home.SweepKeys(log);
        }
        catch (InvalidDataException e)
        {
            return Refuse(log, AgentExit.NeedsAttention, e.Message);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Unlike a key that is none, this may pass (a keychain is unlocked): whoever supervises it starts it again.
            return Refuse(log, AgentExit.Failed, $"The private key of '{home.Directory}' can't be read now: {e.Message}");
        }
        if (key is null) return Refuse(log, AgentExit.NeedsAttention, $"The private key of '{home.Directory}' is gone; ask an admin for a recovery code ('workstations recover') and run 'agent recover'.");

        using (key)
        using (var transport = new DeviceTransport(baseUrl, identity.InstanceId, key, options.Timeouts, clock, log, new SuccessorKey(home)))
        {
            var agent = new RunningAgent(options, identity, home, platform, transport, clock, logs);
            await using (agent)
            {
                LogRuns(log, identity.InstanceName, options.Workspace, identity.ServerUrl, options.MaxConcurrent);
                return await agent.RunAsync(signals);
            }
        }
    }

    private static int Refuse(ILogger log, int exit, string message)
    {
        LogRefused(log, message);
        return exit;
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "{Reason}")]
    private static partial void LogRefused(ILogger log, string reason);

    [LoggerMessage(Level = LogLevel.Information, Message = "Agent of '{InstanceName}' runs (workspace {Workspace}, server {Server}, {MaxConcurrent} steps at once)")]
    private static partial void LogRuns(ILogger log, string instanceName, string workspace, string server, int maxConcurrent);
}
