using System.Data.Common;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Workstations.Sessions;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>
/// What the holder of a step asks for its coding agent: a question, again and again until it is answered, and what came of it. Under the step's fence: only who holds the
/// lease of the generation asks anything new, while what was asked before is answered to whoever asked it.
/// </summary>
internal sealed class StepPermissions(Database database, TimeProvider clock, DoctrineGate doctrine, WakeUps wakeUps, RunMetrics metrics)
{
    public async Task<PermissionMove> AskAsync(Device device, string stepId, AskedPermission asked, CancellationToken cancellationToken)
    {
        // Outside of the transaction: patterns may take their time. That another version comes into force in between is as if the question had come a moment earlier.
        var decision = await JudgeAsync(device, stepId, asked, cancellationToken);
        try
        {
            return await database.WriteAsync(tx => AskAsync(tx, device, stepId, asked, decision), cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            return new PermissionMove(PermissionMoveKind.IdTaken);
        }
    }

    /// <summary>Hangs until it is not pending any more, or the time is up.</summary>
    public async Task<PermissionMove> WaitAsync(Device device, string stepId, string permissionId, int waitSeconds, CancellationToken cancellationToken)
    {
        using var subscription = wakeUps.Subscribe(WakeUps.Permission(permissionId));
        var start = clock.GetTimestamp();
        while (true)
        {
            var (standing, row) = await database.ReadAsync(async sql => (await SessionStore.StandingAsync(sql, device), await FindOwnAsync(sql, device, stepId, permissionId)), cancellationToken);
            if (standing == SessionStanding.Ended) return new PermissionMove(PermissionMoveKind.SessionEnded);
            if (row is null) return new PermissionMove(PermissionMoveKind.NotFound);
            var now = clock.GetUtcNow().ToUnixTimeMilliseconds();
            if (row.IsPending && row.ExpiresAt <= now)
            {
                // Its time is over now, whenever the loop comes by; or somebody was faster.
                await ExpireAsync(row.Id, cancellationToken);
                continue;
            }
            var left = TimeSpan.FromSeconds(waitSeconds) - clock.GetElapsedTime(start);
            if (!row.IsPending || left <= TimeSpan.Zero || wakeUps.IsClosed) return new PermissionMove(PermissionMoveKind.Answered, row.ToStanding(now));
            var lasts = TimeSpan.FromMilliseconds(row.ExpiresAt - now);
            await subscription.WaitAsync(left < lasts ? left : lasts, clock, cancellationToken);
        }
    }

    /// <summary>Notes what the coding agent was told. A question that was still pending has come to its end by it: the agent ended it by itself.</summary>
    public Task<PermissionMove> SettleAsync(Device device, string stepId, string permissionId, PermissionTold told, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        var locked = await LockedExecution.OfStepAsync(tx, stepId, clock, device.InstanceId, device.SessionId);
        if (locked is null || await FindOwnAsync(tx, device, stepId, permissionId) is not { } row) return new PermissionMove(PermissionMoveKind.NotFound);
        if (!locked.SessionOpen) return new PermissionMove(PermissionMoveKind.SessionEnded);
        if (row.IsPending && !await PermissionBook.ExpireAsync(tx, locked, row)) await PermissionBook.WithdrawAsync(tx, locked, row);
        await PermissionBook.SettleAsync(tx, row, told);
        await locked.SaveAsync(wakeUps, metrics);
        return new PermissionMove(PermissionMoveKind.Answered, (await FindOwnAsync(tx, device, stepId, permissionId))!.ToStanding(locked.Now));
    }, cancellationToken);

    /// <summary>Ends what nobody answered in time. False: somebody did, or there is time again.</summary>
    public Task<bool> ExpireAsync(string permissionId, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        var taskId = (await PermissionBook.FindAsync(tx, permissionId))?.TaskId;
        if (taskId is null || await LockedExecution.OfTaskAsync(tx, taskId, clock) is not { } locked) return false;
        // Read again: it was looked up without the lock.
        if (await PermissionBook.FindAsync(tx, permissionId) is not { } row || !await PermissionBook.ExpireAsync(tx, locked, row)) return false;
        await locked.SaveAsync(wakeUps, metrics);
        return true;
    }, cancellationToken);

    private async Task<PermissionMove> AskAsync(WriteTransaction tx, Device device, string stepId, AskedPermission asked, PermissionDecision? decision)
    {
        var locked = await LockedExecution.OfStepAsync(tx, stepId, clock, device.InstanceId, device.SessionId);
        if (locked is null || locked.OrganizationId != device.OrganizationId) return new PermissionMove(PermissionMoveKind.NotFound);
        var step = await tx.FirstAsync<AskingStep>("""
            SELECT s.*, EXISTS (SELECT 1 FROM step_claims c WHERE c.step_id = s.id AND c.generation = @Generation AND c.instance_id = @instanceId) AS claimed_here
            FROM steps s WHERE s.id = @stepId
            """, new { stepId, asked.Generation, instanceId = device.InstanceId });
        // Who never held a lease on it learns nothing about the step.
        if (step is not { ClaimedHere: true }) return new PermissionMove(PermissionMoveKind.NotFound);
        if (!locked.SessionOpen) return new PermissionMove(PermissionMoveKind.SessionEnded);
        if (await PermissionBook.FindAsync(tx, asked.Id) is { } known)
            return known.StepId == stepId && known.Digest == asked.Digest ? new PermissionMove(PermissionMoveKind.Answered, known.ToStanding(locked.Now)) : new PermissionMove(PermissionMoveKind.IdTaken);
        if (!step.IsHeldBy(device.InstanceId, device.SessionId, asked.Generation)) return new PermissionMove(PermissionMoveKind.LeaseLost, State: step.State);
        if (locked.ParsedSpec.PermissionTimeoutSeconds is not { } timeoutSeconds) return new PermissionMove(PermissionMoveKind.NotAsking, State: step.State);
        // Nobody is asked about what shall end.
        if (step.CancelRequestedAt is not null) return new PermissionMove(PermissionMoveKind.Answered, new PermissionStanding { Id = asked.Id, State = PermissionState.Withdrawn, Because = "the task is being cancelled" });
        var (all, pending) = await PermissionBook.CountAsync(tx, stepId);
        if (all >= PermissionRules.MaxOfStep || pending >= PermissionRules.MaxPendingOfStep) return new PermissionMove(PermissionMoveKind.TooMany, State: step.State);

        var row = Decided(asked.ToRow(locked, stepId, device.InstanceId, timeoutSeconds * 1000L), decision, asked.Options);
        await PermissionBook.InsertAsync(tx, row);
        PermissionBook.Tell(locked, PermissionEvents.Asked, row);
        if (!row.IsPending) PermissionBook.Tell(locked, PermissionEvents.Answered, row);
        await locked.SaveAsync(wakeUps, metrics);
        return new PermissionMove(PermissionMoveKind.Answered, row.ToStanding(locked.Now));
    }

    /// <summary>With what the doctrine says to it: an answer, or only the rule that wants a person's.</summary>
    private static PermissionRow Decided(PermissionRow row, PermissionDecision? decision, IReadOnlyList<PermissionOptionBody> options)
    {
        if (decision is null) return row;
        var option = decision.Verdict is { } verdict ? PermissionRules.OnceOf(options, verdict) : null;
        // What is offered only for good, no rule takes.
        if (decision.Verdict is null || decision.Verdict == PermissionVerdict.Allow && option is null) return row with { Rule = decision.Rule };
        return row with
        {
            State = WireNames.Of(PermissionState.Answered),
            Verdict = WireNames.Of(decision.Verdict.Value),
            OptionId = option?.Id,
            Rule = decision.Rule,
            Reason = decision.Because,
            EndedAt = row.AskedAt,
        };
    }

    /// <summary>Null: nothing in the doctrine is about it, or it is not the caller's to ask.</summary>
    private Task<PermissionDecision?> JudgeAsync(Device device, string stepId, AskedPermission asked, CancellationToken cancellationToken) => database.ReadAsync(async sql =>
    {
        var about = await sql.FirstAsync<AboutRow>("""
            SELECT t.schedule_id, t.runbook_id, t.by_person, t.changed_by, i.tags,
              (SELECT m.role FROM memberships m WHERE m.organization_id = t.organization_id AND m.user_id = coalesce(t.changed_by, t.created_by)) AS actor_role
            FROM steps s JOIN tasks t ON t.id = s.task_id JOIN instances i ON i.id = s.lease_holder
            WHERE s.id = @stepId AND s.organization_id = @OrganizationId AND s.state = 'running' AND s.lease_holder = @InstanceId AND s.lease_session = @SessionId AND s.lease_generation = @Generation
            """, new { stepId, device.OrganizationId, device.InstanceId, device.SessionId, asked.Generation });
        if (about is null) return null;
        return await doctrine.DecidePermissionAsync(sql, device.OrganizationId, new PermissionCase
        {
            ToolKind = asked.Tool.Kind!,
            CodingAgent = asked.CodingAgent,
            All = ToolText.All(asked.Tool),
            Whole = ToolText.Whole(asked.Tool),
            IsCut = asked.Tool.ArgumentsCut,
            Tags = about.ParseTags(),
            ActorRole = about.ParsedRole,
            Origins = DoctrineGate.OriginsOf(about.Origin),
        });
    }, cancellationToken);

    private static async Task<PermissionRow?> FindOwnAsync(SqlSession sql, Device device, string stepId, string permissionId) =>
        await PermissionBook.FindAsync(sql, permissionId) is { } row && row.StepId == stepId && row.InstanceId == device.InstanceId && row.OrganizationId == device.OrganizationId ? row : null;

    private sealed record AskingStep : StepRow
    {
        /// <summary>Whether the asking workstation claimed that generation.</summary>
        public bool ClaimedHere { get; init; }
    }

    private sealed record AboutRow
    {
        public string? ScheduleId { get; init; }
        public string? RunbookId { get; init; }
        public int ByPerson { get; init; }
        public string? ChangedBy { get; init; }
        public string Tags { get; init; } = "[]";
        public string? ActorRole { get; init; }

        public Role? ParsedRole => ActorRole is null ? null : Enum.Parse<Role>(ActorRole, ignoreCase: true);
        public TaskOrigin Origin => new() { ScheduleId = ScheduleId, RunbookId = RunbookId, ByPerson = ByPerson != 0 || ChangedBy is not null };
        public IReadOnlySet<string> ParseTags() => System.Text.Json.JsonSerializer.Deserialize<HashSet<string>>(Tags)!;
    }
}

internal enum PermissionMoveKind
{
    /// <summary>It stands like this, whether anything moved or not.</summary>
    Answered,
    NotFound,
    SessionEnded,
    LeaseLost,
    /// <summary>Another question has this id.</summary>
    IdTaken,
    TooMany,
    /// <summary>No coding agent is at work there.</summary>
    NotAsking,
}

/// <param name="Kind">How it was taken.</param>
/// <param name="Standing">Set when it is <see cref="PermissionMoveKind.Answered"/>.</param>
/// <param name="State">Of the step, where that says more.</param>
internal sealed record PermissionMove(PermissionMoveKind Kind, PermissionStanding? Standing = null, string State = "");
