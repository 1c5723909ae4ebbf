using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>Says on standard error, once each, what the coding agent of a job asks, and how one answers.</summary>
internal sealed class PermissionNotice(CliContext cli)
{
    private readonly HashSet<string> asked = [];

    public void Look(TaskBody job)
    {
        foreach (var permission in job.Permissions ?? [])
        {
            if (!asked.Add(permission.Id)) continue;
            cli.Say($"{job.Id} waits: {Text.Safe(permission.CodingAgent ?? "its coding agent")} asks whether it may {PermissionWords.Of(permission.Tool)}");
            if (PermissionWords.Arguments(permission.Tool, 500) is { } arguments) cli.Say($"  with {arguments}");
            cli.Say($"  answer with `tanvrit-compute jobs answer {permission.Id} allow` or `deny`, until {Text.Instant(permission.ExpiresAt, cli.Clock)}; then it is denied");
        }
    }
}
