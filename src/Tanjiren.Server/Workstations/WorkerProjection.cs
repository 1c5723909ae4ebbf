using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Workstations;

/// <summary>W-09: what a workstation can do right now. Pure: computed from its row at the time of the question, never stored.</summary>
internal static class WorkerProjection
{
    public static WorkerBody Of(InstanceRow row, DateTimeOffset now, WorkstationOptions options)
    {
        var state = row.AsWorker(now, options);
        List<string> reasons = [.. WorkerRules.Unready(state).Select(WireNames.Of)];
        return new WorkerBody
        {
            Id = Ids.Worker + row.Id,
            InstanceId = row.Id,
            DisplayName = row.WorkerName ?? row.Name + " agent",
            Status = WorkerRules.Status(state),
            HealthScore = WorkerRules.Health(state),
            Capacity = new WorkerCapacity { MaxConcurrent = (int)row.MaxConcurrent, Active = (int)row.ActiveSteps },
            Capabilities =
            [
                .. row.Labels.OrderBy(l => l.Key, StringComparer.Ordinal).Select(l => $"{l.Key}={l.Value}"),
                .. row.Tags.Select(t => "tag:" + t), .. row.CodingAgents.Select(a => CodingAgentName.CapabilityPrefix + a),
            ],
            Readiness = new WorkerReadiness { Ready = reasons.Count == 0, Reasons = reasons },
            LastHeartbeatAt = row.LastHeartbeatAt is { } at ? DateTimeOffset.FromUnixTimeMilliseconds(at) : null,
        };
    }
}
