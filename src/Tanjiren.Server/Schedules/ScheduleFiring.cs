using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Runbooks;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Schedules;

/// <summary>What came of a look at a schedule; the loop counts each by its name.</summary>
internal enum TickOutcome
{
    /// <summary>Another server was first, or somebody changed it meanwhile.</summary>
    Nothing,
    Made,
    /// <summary>Its task waits for the one before.</summary>
    Waits,
    /// <summary>By the overlap rule.</summary>
    Skipped,
    Missed,
    /// <summary>Its task could not be made; the schedule says why.</summary>
    Failed,
    /// <summary>Nobody is left in whose name it could run, or its runbook is not what its owner saw.</summary>
    Paused,
}

/// <summary>
/// Deals with one due tick in one transaction: the next tick is set and the task of this one is made, or neither is. The lock on the row and the guard on
/// <c>next_run_at</c> let one server through; the unique index on (schedule, tick) would stop a second one all the same.
/// </summary>
internal sealed class ScheduleFiring(Database database, TaskService tasks, RunbookDirectory runbooks, AuditLog audit, TimeProvider clock)
{
    /// <summary>In the audit log, where nobody else acted.</summary>
    private const string Actor = "server";

    /// <summary>Of a problem, as it is kept for people.</summary>
    private const int MaxErrorLength = 2000;

    public Task<TickOutcome> FireAsync(string id, CancellationToken cancellationToken)
    {
        var trace = TaskTrace.OfRequest();
        return database.WriteAsync(async tx =>
        {
            var now = clock.GetUtcNow();
            var row = await ScheduleRow.LockAsync(tx, "id = @id AND next_run_at <= @now", new { id, now = now.ToUnixTimeMilliseconds() });
            if (row is null) return TickOutcome.Nothing;
            if (await ActingMember.FindAsync(tx, row.OrganizationId, row.OwnerId) is not { } owner) return await PauseAsync(tx, row, $"Its owner {row.OwnerId} may run no tasks here any more.");
            if (row.ParseCron() is not { } cron) return await PauseAsync(tx, row, $"The server does not know the time zone {row.TimeZone} any more.");
            var plan = ScheduleRules.Plan(cron, TaskMapping.Instant(row.NextRunAt!.Value), now, row.MissedRunRule);
            if (plan.Next is not { } next) return await PauseAsync(tx, row, "Its expression names no further time.");

            if (await tx.ExecuteAsync("UPDATE schedules SET next_run_at = @next, last_tick_at = @latest, missed = missed + @Missed WHERE id = @Id AND next_run_at = @NextRunAt",
                new { row.Id, row.NextRunAt, next = next.ToUnixTimeMilliseconds(), latest = plan.Latest.ToUnixTimeMilliseconds(), plan.Missed }) == 0) return TickOutcome.Nothing;
            if (plan.Fire is not { } tick) return TickOutcome.Missed;
            if (row.OverlapRule != OverlapRule.Allow && (row.WaitingTickAt is not null || await ScheduleRow.IsBusyAsync(tx, id))) return await HoldAsync(tx, row, tick);
            return await MakeAsync(tx, row, owner, tick.ToUnixTimeMilliseconds(), trace);
        }, cancellationToken);
    }

    /// <summary>
    /// Pauses every schedule that is not paused: after a restore nobody here can know which ticks ran since the backup, nor which schedules were changed, paused or deleted
    /// since. Answers how many that were. For a database that no server serves.
    /// </summary>
    public async Task<int> PauseAllAsync(string reason, CancellationToken cancellationToken)
    {
        var active = await database.ReadAsync(sql => sql.ListAsync<string>("SELECT id FROM schedules WHERE paused_at IS NULL ORDER BY id"), cancellationToken);
        foreach (var id in active)
            await database.WriteAsync(async tx => await PauseAsync(tx, (await ScheduleRow.LockAsync(tx, "id = @id", new { id }))!, reason), cancellationToken);
        return active.Count;
    }

    /// <summary>Makes the task that waited for the one before to end.</summary>
    public Task<TickOutcome> FireWaitingAsync(string id, CancellationToken cancellationToken)
    {
        var trace = TaskTrace.OfRequest();
        return database.WriteAsync(async tx =>
        {
            var row = await ScheduleRow.LockAsync(tx, "id = @id AND waiting_tick_at IS NOT NULL", new { id });
            if (row is null || await ScheduleRow.IsBusyAsync(tx, id)) return TickOutcome.Nothing;
            if (await ActingMember.FindAsync(tx, row.OrganizationId, row.OwnerId) is not { } owner) return await PauseAsync(tx, row, $"Its owner {row.OwnerId} may run no tasks here any more.");
            var outcome = await MakeAsync(tx, row, owner, row.WaitingTickAt!.Value, trace);
            await tx.ExecuteAsync("UPDATE schedules SET waiting_tick_at = NULL WHERE id = @id", new { id });
            return outcome;
        }, cancellationToken);
    }

    /// <summary>Makes a task of the template, by no tick but because somebody asks for it, within a transaction that holds the schedule. The problem, if it can not be made.</summary>
    public async Task<Problem?> RunInAsync(WriteTransaction tx, ScheduleRow row, Caller actor, string taskId, TaskTrace trace)
    {
        var errors = new FieldErrors();
        var (spec, origin) = await tasks.ResolveAsync(tx, row.OrganizationId, row.ParseTask(), errors);
        return errors.Any ? errors.ToProblem() : (await CreateAsync(tx, row, actor, taskId, spec, origin with { ByPerson = true }, trace))?.Problem;
    }

    private async Task<TickOutcome> MakeAsync(WriteTransaction tx, ScheduleRow row, Caller owner, long tickAt, TaskTrace trace)
    {
        // Anew each time: the template may be older than this version of the rules.
        var errors = new FieldErrors();
        var (spec, origin) = await tasks.ResolveAsync(tx, row.OrganizationId, row.ParseTask(), errors);
        // Of the very row that the task would be made from: any member may edit a runbook, and must not run what they like in the owner's name by that.
        if (origin.RunbookVersion != row.RunbookVersion) return await PauseAsync(tx, row, await WhyUnseenAsync(tx, row));
        var unmade = errors.Any ? new Unmade(errors.ToProblem()) : await CreateAsync(tx, row, owner, Ids.New(Ids.Task, clock), spec, origin with { ByPerson = false, ScheduleTickAt = tickAt }, trace);
        if (unmade is null) return TickOutcome.Made;
        // Undone with the transaction: the tick stays due, for a server that can read it.
        if (unmade.Refused is { Unreadable: true }) throw new InvalidOperationException($"The tick of {row.Id} waits: {unmade.Problem.Value.Detail}");
        await tx.ExecuteAsync("UPDATE schedules SET failed = failed + 1, last_error = @error, last_error_tick_at = @tickAt WHERE id = @Id", new { row.Id, tickAt, error = Describe(unmade.Problem.Value) });
        return TickOutcome.Failed;
    }

    private async Task<Unmade?> CreateAsync(WriteTransaction tx, ScheduleRow row, Caller actor, string taskId, CreateTaskRequest spec, TaskOrigin origin, TaskTrace trace)
    {
        if (await tasks.CreateInAsync(tx, actor, taskId, spec, origin with { ScheduleId = row.Id }, trace) is { } unmade) return unmade;
        await tx.ExecuteAsync("UPDATE schedules SET runs = runs + 1, last_task_id = @taskId WHERE id = @Id", new { row.Id, taskId });
        return null;
    }

    private async Task<string> WhyUnseenAsync(WriteTransaction tx, ScheduleRow row)
    {
        var id = row.ParseTask().RunbookId!;
        return await runbooks.FindAsync(tx, row.OrganizationId, id) switch
        {
            null => $"Its runbook {id} is gone.",
            { Status: not "active" } runbook => $"Its runbook {runbook.Name} is no longer active: {runbook.UpdatedBy} made it {runbook.Status}.",
            var runbook => $"Its runbook {runbook.Name} was changed by {runbook.UpdatedBy} (version {runbook.Version}, not {row.RunbookVersion}); look at it and resume.",
        };
    }

    private static async Task<TickOutcome> HoldAsync(WriteTransaction tx, ScheduleRow row, DateTimeOffset tick)
    {
        var waits = row.OverlapRule == OverlapRule.Queue && row.WaitingTickAt is null;
        await tx.ExecuteAsync(waits ? "UPDATE schedules SET waiting_tick_at = @at WHERE id = @Id" : "UPDATE schedules SET skipped = skipped + 1 WHERE id = @Id",
            new { row.Id, at = tick.ToUnixTimeMilliseconds() });
        return waits ? TickOutcome.Waits : TickOutcome.Skipped;
    }

    private async Task<TickOutcome> PauseAsync(WriteTransaction tx, ScheduleRow row, string reason)
    {
        await PauseInAsync(tx, row.Id, reason, clock.GetUtcNow());
        await audit.AppendAsync(tx, row.OrganizationId, Actor, "schedule.paused", row.Id, $"{row.Name}: {reason}", address: null);
        return TickOutcome.Paused;
    }

    /// <summary>A tick that waits is dropped with the pause, and counted.</summary>
    public static Task<int> PauseInAsync(WriteTransaction tx, string id, string? reason, DateTimeOffset now) => tx.ExecuteAsync("""
        UPDATE schedules SET paused_at = @at, pause_reason = @reason, next_run_at = NULL, waiting_tick_at = NULL, skipped = skipped + CASE WHEN waiting_tick_at IS NULL THEN 0 ELSE 1 END
        WHERE id = @id AND paused_at IS NULL
        """, new { id, reason, at = now.ToUnixTimeMilliseconds() });

    private static string Describe(ProblemBody problem)
    {
        var text = problem.Errors is { Count: > 0 } errors
            ? string.Join("; ", errors.Select(field => $"{field.Key} {string.Join(", ", field.Value)}"))
            : problem.Detail ?? problem.Title;
        return text.Length <= MaxErrorLength ? text : text[..(char.IsHighSurrogate(text[MaxErrorLength - 1]) ? MaxErrorLength - 1 : MaxErrorLength)];
    }
}
