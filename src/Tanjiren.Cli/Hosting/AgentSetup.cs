using Tanjiren.Agent;
using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Hosting;

/// <summary>
/// Makes sure that an agent's home is bound to a workstation, with the credential of whoever is signed in. Repeatable: the same home stays the same
/// workstation, and a home whose workstation was removed gets a new one.
/// </summary>
internal sealed class AgentSetup(CliContext cli, ClientSession client, ILoggerFactory logs)
{
    public async Task<AgentIdentity> EnsureAsync(string agentHome, bool insecureHttp, CancellationToken cancellation)
    {
        if (AgentIdentity.Load(agentHome) is { } bound && await StillBoundAsync(bound, cancellation)) return bound;

        var machineId = MachineIdentity.Of(agentHome);
        var instance = await RegisterAsync(machineId, cancellation);
        var code = await client.Instances.PairingCodeAsync(instance.Id, cancellation);
        return await PairAsync(cli, agentHome, ServerAccessRules.Text(client.Api.Access.Url), code.Code, insecureHttp, logs, cancellation);
    }

    public static async Task<AgentIdentity> PairAsync(CliContext cli, string agentHome, string server, string code, bool insecureHttp, ILoggerFactory logs,
        CancellationToken cancellation)
    {
        var result = await Pairing.PairAsync(agentHome, server, code, insecureHttp, cli.Clock, logs, cancellation);
        if (result.Identity is { } identity) return identity;
        throw new CliException(Text.Safe(result.Error ?? "pairing failed"),
            result.Problem?.Is(ErrorCode.InvalidPairingCode) == true ? "codes work once and for ten minutes; make a new one with `tanvrit-compute workstations pair-code NAME`" : null);
    }

    private async Task<bool> StillBoundAsync(AgentIdentity bound, CancellationToken cancellation)
    {
        // Another server may know the same id after a restored backup; the key decides.
        if (!string.Equals(new Uri(bound.ServerUrl).Authority, client.Api.Access.Url.Authority, StringComparison.OrdinalIgnoreCase)) return false;
        try
        {
            var instance = await client.Instances.GetAsync(bound.InstanceId, cancellation);
            return instance.Paired && instance.KeyFingerprint == bound.KeyFingerprint;
        }
        catch (ApiException e) when (e.Problem.Is(ErrorCode.NotFound))
        {
            return false;
        }
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
