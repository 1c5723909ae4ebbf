using Tanjiren.Agent;
using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Keys;
using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Hosting;

/// <summary>
/// Makes sure that an agent's home is bound to a workstation, with the credential of whoever is signed in. Repeatable: the same home stays the same
/// workstation, also when the server's address has changed.
/// </summary>
internal sealed class AgentSetup(CliContext cli, ClientSession client, ILoggerFactory logs)
{
    private string Server => ServerAccessRules.Text(client.Api.Access.Url);

    /// <param name="agentHome">The agent's directory; made if it is not there.</param>
    /// <param name="replace">Whether a binding that the server no longer knows may be given up for a new one. The old key is of no use then.</param>
    /// <param name="insecureHttp">Passed on to the pairing.</param>
    /// <param name="cancellation">Stops it between requests.</param>
    public async Task<AgentIdentity> EnsureAsync(string agentHome, bool replace, bool insecureHttp, CancellationToken cancellation)
    {
        var home = new AgentHome(agentHome);
        var bound = AgentIdentity.Load(home.Directory);
        if (bound is not null)
        {
            if (await KnowsAsync(home, bound, cancellation))
            {
                // It stands on the sign-in of whoever starts it: that is how a machine that was signed out comes back.
                await client.Instances.RegisterAgainAsync(bound.InstanceId, cancellation);
                SignInWatch.Remember(home.Directory, cli.Home, client.Api.Access);
                return Repoint(home, bound);
            }
            if (!replace)
                throw new CliException(
                    $"{home.Directory} is bound to workstation {Text.Safe(bound.InstanceName)} at {bound.ServerUrl}, which is not in the organization that you are signed in to at {Server}",
                    "if it was removed, register this machine anew with --again; else choose another agent with --home DIR");
        }

        var instance = await RegisterAsync(MachineIdentity.MachineId(home.Directory), cancellation);
        if (instance.Paired)
        {
            // Paired, but not with what is here: an earlier pairing was cut off before its answer was kept, or the home was emptied.
            if (!replace)
                throw new CliException($"workstation {Text.Safe(instance.Name)} is bound to a key that is not in {home.Directory}",
                    "register this machine anew with --again");
            await client.Instances.RemoveAsync(instance.Id, cancellation);
            instance = await RegisterAsync(MachineIdentity.MachineId(home.Directory), cancellation);
        }
        var code = await client.Instances.PairingCodeAsync(instance.Id, cancellation);
        var identity = await PairAsync(cli, home.Directory, Server, code.Code, freshKey: replace, insecureHttp, logs, cancellation);
        SignInWatch.Remember(home.Directory, cli.Home, client.Api.Access);
        return identity;
    }

    /// <summary>Pairs; with <paramref name="freshKey"/> under a new key, for a key is bound once.</summary>
    public static async Task<AgentIdentity> PairAsync(CliContext cli, string agentHome, string server, string code, bool freshKey, bool insecureHttp,
        ILoggerFactory logs, CancellationToken cancellation)
    {
        var result = await Pairing.PairAsync(agentHome, server, code, insecureHttp, cli.Clock, logs, cancellation, freshKey, cli.Keychain);
        return result.Identity ?? throw new CliException(Text.Safe(result.Error ?? "pairing failed"));
    }

    private async Task<bool> KnowsAsync(AgentHome home, AgentIdentity bound, CancellationToken cancellation)
    {
        try
        {
            var instance = await client.Instances.GetAsync(bound.InstanceId, cancellation);
            // Or by a new key that waits in the home, approved while no agent ran: the agent finds that out for itself.
            return instance.KeyFingerprint == bound.KeyFingerprint || (instance.KeyFingerprint is { } now && KeyRotation.All(home.Directory).Contains(now));
        }
        catch (InvalidDataException e)
        {
            // It may be the key that counts: without knowing, the workstation must not be given up for a new one.
            throw new CliException(e.Message, inner: e);
        }
        catch (ApiException e) when (e.Problem.Is(ErrorCode.NotFound))
        {
            return false;
        }
    }

    private AgentIdentity Repoint(AgentHome home, AgentIdentity bound)
    {
        // The id and the key are known there, so it is the same control plane at another address (`up --port`, a new host name).
        if (ServerAccessRules.SameServer(bound.ServerUrl, Server)) return bound;
        var moved = bound with { ServerUrl = Server };
        AgentHome.Replace(home.Identity, moved, AgentJson.Default.AgentIdentity, durable: true);
        return moved;
    }

    private async Task<InstanceBody> RegisterAsync(string machineId, CancellationToken cancellation)
    {
        var name = Environment.MachineName is { Length: > 0 } host ? host : "workstation";
        name = name[..Math.Min(name.Length, WireLimits.MaxNameLength - 10)];
        try
        {
            return await client.Instances.CreateAsync(new CreateInstanceRequest { Name = name, MachineId = machineId }, cancellation);
        }
        catch (ApiException e) when (e.Problem.Is(ErrorCode.NameTaken))
        {
            // Two machines with one host name, or two agents on one machine.
            name = $"{name}-{Ids.Secret(20)}";
            return await client.Instances.CreateAsync(new CreateInstanceRequest { Name = name, MachineId = machineId }, cancellation);
        }
    }
}
