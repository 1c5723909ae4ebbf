using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// What may keep a queued step from starting, besides its workstation's state (<see cref="Workstations.WorkerRules"/>), its target (<see cref="TargetSelector"/>) and what
/// doctrine and approvals say at the claim (<see cref="Approvals.ApprovalGate"/>). Each condition stands once: the offer asks for all of them, the claim for those that can
/// change after the offer, and the explanation for each by itself. In SQL they are over <c>s</c> (steps), <c>t</c> (tasks), <c>e</c> (executions), and <c>@now</c> in Unix
/// milliseconds.
/// </summary>
internal static class StartRules
{
    /// <summary>The task is not held since a restore.</summary>
    public const string NotHeldSql = "t.held_at IS NULL";

    /// <summary>No freeze keeps the task back; one that comes with the tags of a machine is that machine's (<see cref="KeptFromSql"/>).</summary>
    public const string NotFrozenSql = "(t.frozen_until IS NULL OR t.frozen_until <= @now)";

    /// <summary>A place under maxParallel is free; under the execution's lock, where the numbers are at hand: <see cref="HasPlace"/>.</summary>
    public const string HasPlaceSql = "(e.max_parallel = 0 OR e.active_steps < e.max_parallel)";

    /// <summary>An approval that the step is known to need is given. Whether a claimer's tags need a higher one, and whether the task is still what was approved, the gate judges.</summary>
    public const string ApprovedSql = """
        (s.approval_from = 0 OR EXISTS (SELECT 1 FROM approvals a WHERE a.task_id = s.task_id AND a.number >= s.approval_from
          AND (a.state = 'consumed' OR a.state = 'approved' AND a.expires_at > @now)))
        """;

    /// <summary>All of them together: what one of them keeps back, no machine may claim.</summary>
    public const string StartableSql = $"{NotHeldSql} AND {NotFrozenSql} AND {HasPlaceSql} AND {ApprovedSql}";

    /// <summary>Of a row <c>h</c> of step_holds: the doctrine refused the step to this machine a moment ago.</summary>
    public const string KeptFromSql = "h.held_until > @now";

    public static bool HasPlace(int maxParallel, int activeSteps) => maxParallel == 0 || activeSteps < maxParallel;
}

/// <summary>A task as doctrine and approvals judge a start of it.</summary>
/// <param name="TaskId">Which.</param>
/// <param name="OrganizationId">Whose.</param>
/// <param name="Spec">With every default filled in.</param>
/// <param name="Origin">What else brought it into being.</param>
/// <param name="ActorRole">The role, now, of who made or last changed it; null: no member any more.</param>
/// <param name="DoctrineVersion">The snapshot that it was decided by.</param>
/// <param name="ActionHash">What an approval must have been given for.</param>
/// <param name="Now">Unix milliseconds.</param>
internal sealed record StartSubject(
    string TaskId, string OrganizationId, CreateTaskRequest Spec, TaskOrigin Origin, Role? ActorRole, int DoctrineVersion, string ActionHash, long Now);
