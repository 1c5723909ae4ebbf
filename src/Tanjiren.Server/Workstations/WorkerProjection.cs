using Tanjiren.Protocol;

namespace Tanjiren.Server.Workstations;

/// <summary>W-09: what a workstation can do right now. Pure: computed from its row at the time of the question, never stored.</summary>
internal static class WorkerProjection
{
    public static WorkerBody Of(InstanceRow row, DateTimeOffset now, WorkstationOptions options)
    {
        var offline = row.Status(now, options) == InstanceStatus.Offline;
        var reasons = new List<string>();
        if (offline) reasons.Add("offline");
        if (!row.IsPaired) reasons.Add("untrusted");
        if (row.IsSignedOut) reasons.Add("signed_out");
        if (!row.HasCapacity) reasons.Add("at_capacity");
        if (row.IsDraining) reasons.Add("draining");
        return new WorkerBody
        {
            Id = Ids.Worker + row.Id,
            InstanceId = row.Id,
            DisplayName = row.Name + " agent",
            Status = offline ? WorkerStatus.Offline : row.ActiveSteps > 0 ? WorkerStatus.Busy : WorkerStatus.Ready,
            Capacity = new WorkerCapacity { MaxConcurrent = (int)row.MaxConcurrent, Active = (int)row.ActiveSteps },
            Capabilities = [.. row.Labels.OrderBy(l => l.Key, StringComparer.Ordinal).Select(l => $"{l.Key}={l.Value}"), .. row.Tags.Select(t => "tag:" + t)],
            Readiness = new WorkerReadiness { Ready = reasons.Count == 0, Reasons = reasons },
        };
    }
}
