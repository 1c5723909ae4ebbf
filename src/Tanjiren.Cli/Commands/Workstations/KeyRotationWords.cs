using Tanjiren.Cli.Client;
using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Commands.Workstations;

/// <summary>A request for another key, as people see it, and the one that they mean.</summary>
internal static class KeyRotationWords
{
    public static void Show(CliContext cli, KeyRotationBody rotation) => new FieldList()
        .Add("waits", $"{rotation.Id} ({Words.Of(rotation.Kind)})")
        .Add("new key", rotation.NewFingerprintStart + "…")
        .Add("host", rotation.HostName)
        .Add("asked", Text.Ago(rotation.RequestedAt, cli.Clock.GetUtcNow()))
        .Add("until", Text.Instant(rotation.ExpiresAt, cli.Clock))
        .Add("tries left", rotation.TriesLeft.ToString())
        .Write(cli.Out);

    /// <summary>The workstation, and the request that is meant: the given one, else the one that waits now. So what is answered is what was looked at.</summary>
    public static async Task<(KeyChainBody Chain, string Id)> MeantAsync(ClientSession client, string workstation, string? id, CancellationToken cancellation)
    {
        var chain = await client.Instances.KeysAsync(workstation, cancellation);
        var meant = id ?? chain.Pending?.Id ?? throw new CliException($"no new key of {Text.Safe(chain.InstanceName)} waits for an answer", "on its machine, `tanvrit-compute agent rotate-key` makes one");
        return (chain, meant);
    }
}
