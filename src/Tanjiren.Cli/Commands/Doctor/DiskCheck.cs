using Tanjiren.Agent;
using Tanjiren.Cli.Output;

namespace Tanjiren.Cli.Commands.Doctor;

/// <summary>Whether the disk of the agent's home has room for what it keeps while the server is away.</summary>
internal static class DiskCheck
{
    private const string Name = "disk";
    /// <summary>Below this even journal and results may find no room.</summary>
    private const long Least = 64L << 20;

    public static DoctorCheck Check { get; } = new(Name, Verdict.Warning, (scene, _) => Task.FromResult(Look(scene.Home, path => new DriveInfo(path).AvailableFreeSpace)));

    internal static Finding Look(string home, Func<string, long> freeOf)
    {
        var place = home;
        while (!Directory.Exists(place) && Path.GetDirectoryName(place) is { } parent) place = parent;
        var free = freeOf(place);
        var words = $"{Text.Bytes(free)} free where {home} lies";
        if (free < Least) return Finding.Problem(Name, $"only {words}", "make room: without it jobs wait in their writes, and none begins");
        return free < AgentOptions.DefaultOutboxBudgetBytes
            ? Finding.Warning(Name, $"{words}; the outbox may need {Text.Bytes(AgentOptions.DefaultOutboxBudgetBytes)} while the server is away", "make room; when it is full, jobs wait in their writes")
            : Finding.Ok(Name, words);
    }
}
