using Tanjiren.Server.Data;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>
/// What one machine was refused by the doctrine, so that it is not offered the same step at once again; other machines are. Never for longer than
/// <see cref="Longest"/>: then the doctrine of that moment is asked again, which may be a corrected one. The execution is locked.
/// </summary>
internal static class StepHolds
{
    public static readonly TimeSpan Longest = TimeSpan.FromMinutes(5);

    /// <summary>Until this moment (Unix milliseconds) or the longest. True when the machine was never kept from this step before.</summary>
    public static async Task<bool> HoldAsync(WriteTransaction tx, LockedExecution locked, StepRow step, string instanceId, long until, bool forbidden)
    {
        var row = new { stepId = step.Id, instanceId, heldUntil = Math.Min(until, locked.Now + (long)Longest.TotalMilliseconds), forbidden = forbidden ? 1 : 0 };
        if (await tx.ExecuteAsync("UPDATE step_holds SET held_until = @heldUntil, forbidden = @forbidden WHERE step_id = @stepId AND instance_id = @instanceId", row) == 1) return false;
        await tx.ExecuteAsync("INSERT INTO step_holds (step_id, instance_id, held_until, forbidden) VALUES (@stepId, @instanceId, @heldUntil, @forbidden)", row);
        return true;
    }

    /// <summary>Nothing is kept from anybody any more because it was frozen: the doctrine says otherwise now.</summary>
    public static Task ReleaseAsync(WriteTransaction tx, LockedExecution locked) =>
        tx.ExecuteAsync("DELETE FROM step_holds WHERE forbidden = 0 AND step_id IN (SELECT id FROM steps WHERE task_id = @TaskId)", new { locked.TaskId });

    /// <summary>Whether a machine that fits the step's condition is not known to be forbidden it. One that is offline counts: it has not been asked.</summary>
    public static async Task<bool> AnyRemainsAsync(WriteTransaction tx, LockedExecution locked, StepRow step, InstanceDirectory directory)
    {
        if (step.SelectorId is null) return false;
        var forbidden = await tx.ListAsync<string>("SELECT instance_id FROM step_holds WHERE step_id = @Id AND forbidden = 1 AND held_until > @Now", new { step.Id, locked.Now });
        return (await FittingAsync(tx, locked, step, directory)).Any(m => !forbidden.Contains(m.Id));
    }

    /// <summary>The machine that the step is meant for, or those that its condition fits now.</summary>
    public static async Task<IEnumerable<MachineTraits>> FittingAsync(WriteTransaction tx, LockedExecution locked, StepRow step, InstanceDirectory directory)
    {
        if (step.TargetInstanceId is { } target) return await directory.TraitsAsync(tx, locked.OrganizationId, [target]);
        var selector = TargetSelector.Parse((await tx.FirstAsync<string>("SELECT canonical FROM selectors WHERE id = @SelectorId", new { step.SelectorId }))!);
        return (await directory.TraitsAsync(tx, locked.OrganizationId, [])).Where(m => selector.Matches(m.Id, m.Tags, m.Labels, m.CodingAgents));
    }
}
