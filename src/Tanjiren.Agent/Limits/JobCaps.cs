using System.Globalization;
using Tanjiren.Agent.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Limits;

/// <summary>What one job may have: the lower of what the machine's owner allows (<c>agent.yaml</c>) and of what the job asked for itself. Pure.</summary>
/// <param name="Cpu">Cores; null: no cap.</param>
/// <param name="MemoryMb">MiB of the whole process tree; null: no cap.</param>
/// <param name="MemoryIsOwn">Whether the job's own <c>resources.memoryMb</c> is that cap.</param>
internal sealed record JobCaps(double? Cpu, int? MemoryMb, bool MemoryIsOwn)
{
    private const long Mebi = 1024 * 1024;

    public static JobCaps Of(LimitSettings machine, ResourceSpec? job) => new(
        Lower(machine.Cpu, job?.Cpu),
        (int?)Lower(machine.MemoryMb, job?.MemoryMb),
        job?.MemoryMb is { } own && own < (machine.MemoryMb ?? int.MaxValue));

    public long? MemoryBytes => MemoryMb * Mebi;

    /// <summary>
    /// Why a job can never run here; null: it can. The server asks the same of the labels that were announced; this is for the jobs that were made for a machine which had announced nothing yet, and for
    /// caps that were lowered since.
    /// </summary>
    public static string? Refusal(LimitSettings machine, ResourceSpec? job, int devices)
    {
        if (job is null) return null;
        if (job.MemoryMb > machine.MemoryMb) return $"It asks for resources.memoryMb {job.MemoryMb}, and limits.memoryMb of this machine's agent.yaml is {machine.MemoryMb}; ask for less, or for another machine.";
        if (job.Cpu > machine.Cpu) return $"It asks for resources.cpu {Text(job.Cpu)}, and limits.cpu of this machine's agent.yaml is {Text(machine.Cpu)}; ask for less, or for another machine.";
        if (job.GpuCount is not { } cards || cards <= devices) return null;
        return machine.GpuCount == 0
            ? $"It asks for resources.gpuCount {cards}, and this machine's agent.yaml gives no graphics card to jobs (limits.gpuCount: 0); ask for another machine."
            : $"It asks for resources.gpuCount {cards}, and this machine gives jobs {devices}; ask for less, or for another machine.";
    }

    /// <summary>For the step's record.</summary>
    public string OverMemory(long usedBytes) =>
        $"Over its memory cap: used {(usedBytes + Mebi - 1) / Mebi} MiB, cap {MemoryMb} MiB ({(MemoryIsOwn ? "the job's own resources.memoryMb" : "limits.memoryMb of this machine's agent.yaml")}).";

    private static double? Lower(double? a, double? b) => a is null ? b : b is null ? a : Math.Min(a.Value, b.Value);

    private static string? Text(double? cores) => cores?.ToString(CultureInfo.InvariantCulture);
}
