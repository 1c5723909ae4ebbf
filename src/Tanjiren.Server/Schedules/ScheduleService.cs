using System.Data.Common;
using System.Text.Json;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Schedules;

/// <summary>The schedule as it is now, or the problem. <see cref="Repeated"/>: an earlier request with the same idempotency key made it.</summary>
internal sealed record ScheduleResult(ScheduleRow? Row, Problem? Problem = null, bool Repeated = false);

/// <summary>What people do with schedules; each one transaction under the schedule's lock, with its audit row. The loop is woken after it.</summary>
internal sealed class ScheduleService(
    Database database, TaskService tasks, ScheduleFiring firing, Idempotency idempotency, AuditLog audit, WakeUps wakeUps, TimeProvider clock)
{
    private const string Own = "id = @id AND organization_id = @OrganizationId";

    public Task<ScheduleRow?> FindAsync(string organizationId, string id, CancellationToken cancellationToken) => database.ReadAsync(sql => FindAsync(sql, organizationId, id), cancellationToken);

    /// <summary>Oldest first, after the id <paramref name="after"/>.</summary>
    public Task<IReadOnlyList<ScheduleRow>> ListAsync(string organizationId, string after, int limit, CancellationToken cancellationToken) => database.ReadAsync(sql =>
        sql.ListAsync<ScheduleRow>("SELECT * FROM schedules WHERE organization_id = @organizationId AND id > @after ORDER BY id LIMIT @limit", new { organizationId, after, limit }), cancellationToken);

    public async Task<ScheduleResult> CreateAsync(Caller caller, CreateScheduleRequest request, IdempotencyKey? key, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var template = ScheduleTemplate.Check(request, tasks, errors);
        if (errors.Any) return new ScheduleResult(null, errors.ToProblem());
        return await UniquelyAsync(template.Name, async tx =>
        {
            var id = Ids.New(Ids.Schedule, clock);
            var reservation = await idempotency.ReserveAsync(tx, caller, key, id);
            if (reservation.Reused) return new ScheduleResult(null, Idempotency.Reused());
            if (reservation.RepeatOf is { } earlier)
            {
                var made = await FindAsync(tx, caller.OrganizationId, earlier);
                return made is null ? new ScheduleResult(null, Deleted()) : new ScheduleResult(made, Repeated: true);
            }
            var (task, runbookVersion, problem) = await PinAsync(tx, caller.OrganizationId, template.Task!);
            if (problem is not null)
            {
                await idempotency.ReleaseAsync(tx, caller, key);
                return new ScheduleResult(null, problem);
            }
            var now = clock.GetUtcNow();
            await tx.ExecuteAsync("""
                INSERT INTO schedules (id, organization_id, name, cron, time_zone, overlap, missed_runs, task, runbook_version, owner_id, created_at, updated_at, next_run_at)
                VALUES (@id, @OrganizationId, @Name, @Cron, @TimeZone, @overlap, @missedRuns, @task, @runbookVersion, @UserId, @at, @at, @nextRunAt)
                """,
                new
                {
                    id, caller.OrganizationId, caller.UserId, template.Name, template.Cron, template.TimeZone, overlap = WireNames.Of(template.Overlap),
                    missedRuns = WireNames.Of(template.MissedRuns), task = Write(task), runbookVersion, at = now.ToUnixTimeMilliseconds(), nextRunAt = NextAfter(template.Parsed, now, null),
                });
            await audit.AppendAsync(tx, caller, "schedule.created", id, $"{template.Name}: {template.Cron} {template.TimeZone}, {Describe(template.Task!)}");
            return await ChangedAsync(tx, caller, id);
        }, cancellationToken);
    }

    /// <summary>Who changes what runs, or when, becomes the owner: nothing that somebody else has said runs in a person's name. A name says nothing of either.</summary>
    public Task<ScheduleResult> UpdateAsync(Caller caller, string id, UpdateScheduleRequest request, CancellationToken cancellationToken) =>
        UniquelyAsync(request.Name?.Trim() ?? "", async tx =>
        {
            if (await NotAllowedAsync(tx, caller) is { } refusal) return new ScheduleResult(null, refusal);
            if (await LockAsync(tx, caller, id) is not { } row) return Missing(id);
            var errors = new FieldErrors();
            var template = ScheduleTemplate.Check(request, row, tasks, errors);
            if (errors.Any) return new ScheduleResult(null, errors.ToProblem());
            var (task, runbookVersion, problem) = template.Task is null ? (row.ParseTask(), row.RunbookVersion, null) : await PinAsync(tx, caller.OrganizationId, template.Task);
            if (problem is not null) return new ScheduleResult(null, problem);

            var now = clock.GetUtcNow();
            var retimed = template.Cron != row.Cron || template.TimeZone != row.TimeZone;
            var owner = retimed || template.Overlap != row.OverlapRule || template.MissedRuns != row.MissedRunRule || template.Task is not null ? caller.UserId : row.OwnerId;
            var drops = row.WaitingTickAt is not null && template.Overlap != OverlapRule.Queue;
            await tx.ExecuteAsync("""
                UPDATE schedules SET name = @Name, cron = @Cron, time_zone = @TimeZone, overlap = @overlap, missed_runs = @missedRuns, task = @task, runbook_version = @runbookVersion,
                  owner_id = @owner, next_run_at = @nextRunAt, updated_at = @at, waiting_tick_at = @waiting, skipped = skipped + @dropped WHERE id = @id
                """,
                new
                {
                    id, template.Name, template.Cron, template.TimeZone, overlap = WireNames.Of(template.Overlap), missedRuns = WireNames.Of(template.MissedRuns),
                    task = template.Task is null ? row.Task : Write(task), runbookVersion, owner,
                    nextRunAt = row.PausedAt is null && retimed ? NextAfter(template.Parsed, now, row.LastTickAt) : row.NextRunAt, at = now.ToUnixTimeMilliseconds(),
                    waiting = drops ? null : row.WaitingTickAt, dropped = drops ? 1 : 0,
                });
            await audit.AppendAsync(tx, caller, "schedule.updated", id, $"{template.Name}: {template.Cron} {template.TimeZone}{(template.Task is null ? "" : ", " + Describe(template.Task))}{TakenOver(row, owner)}");
            return await ChangedAsync(tx, caller, id);
        }, cancellationToken);

    public Task<ScheduleResult> PauseAsync(Caller caller, string id, string? reason, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        if (await LockAsync(tx, caller, id) is not { } row) return Missing(id);
        if (await ScheduleFiring.PauseInAsync(tx, id, reason, clock.GetUtcNow()) == 0) return new ScheduleResult(row);
        await audit.AppendAsync(tx, caller, "schedule.paused", id, reason is null ? row.Name : $"{row.Name}: {reason}");
        return await ChangedAsync(tx, caller, id);
    }, cancellationToken);

    /// <summary>
    /// Goes on with the next tick; those of the pause are not missed. It becomes the caller's, with the version that its runbook has now: what runs from then on does so because
    /// they said so.
    /// </summary>
    public Task<ScheduleResult> ResumeAsync(Caller caller, string id, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        if (await NotAllowedAsync(tx, caller) is { } refusal) return new ScheduleResult(null, refusal);
        if (await LockAsync(tx, caller, id) is not { } row) return Missing(id);
        if (row.PausedAt is null) return new ScheduleResult(row);
        var errors = new FieldErrors();
        var cron = CronSchedule.Parse(row.Cron, row.TimeZone, errors);
        if (cron is null) return new ScheduleResult(null, errors.ToProblem());
        var version = row.RunbookVersion;
        if (version is not null)
        {
            var unmet = new FieldErrors();
            version = (await tasks.ResolveAsync(tx, row.OrganizationId, row.ParseTask(), unmet)).Origin.RunbookVersion;
            errors.AddUnder("task", unmet);
            if (errors.Any) return new ScheduleResult(null, errors.ToProblem());
        }
        await tx.ExecuteAsync("UPDATE schedules SET paused_at = NULL, pause_reason = NULL, next_run_at = @nextRunAt, owner_id = @UserId, runbook_version = @version WHERE id = @id",
            new { id, caller.UserId, version, nextRunAt = NextAfter(cron, clock.GetUtcNow(), row.LastTickAt) });
        await audit.AppendAsync(tx, caller, "schedule.resumed", id, row.Name + TakenOver(row, caller.UserId));
        return await ChangedAsync(tx, caller, id);
    }, cancellationToken);

    /// <summary>
    /// A task of the template at once, in the caller's name. The overlap rule holds for people too, unless it is <c>allow</c>: whoever chose it has said that two at once do harm.
    /// </summary>
    public async Task<CreateTaskResult> RunAsync(Caller caller, string id, IdempotencyKey? key, CancellationToken cancellationToken)
    {
        var trace = TaskTrace.OfRequest();
        return await database.WriteAsync(async tx =>
        {
            var taskId = Ids.New(Ids.Task, clock);
            var reservation = await idempotency.ReserveAsync(tx, caller, key, taskId);
            if (reservation.Reused) return CreateTaskResult.Refused(Idempotency.Reused());
            if (reservation.RepeatOf is { } earlier) return new CreateTaskResult(earlier, null, Repeated: true);
            var problem = await LockAsync(tx, caller, id) is not { } row ? Problem.NotFound("schedule", id)
                : row.OverlapRule != OverlapRule.Allow && await ScheduleRow.IsBusyAsync(tx, id) ? Busy(row)
                : await firing.RunInAsync(tx, row, caller, taskId, trace);
            if (problem is not null)
            {
                await idempotency.ReleaseAsync(tx, caller, key);
                return CreateTaskResult.Refused(problem);
            }
            await audit.AppendAsync(tx, caller, "schedule.run", id, taskId);
            return new CreateTaskResult(taskId, null, Repeated: false);
        }, cancellationToken);
    }

    /// <summary>Its tasks stay, and what runs runs on. False: there is no such schedule.</summary>
    public Task<bool> DeleteAsync(Caller caller, string id, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        if (await LockAsync(tx, caller, id) is not { } row) return false;
        await tx.ExecuteAsync("DELETE FROM schedules WHERE id = @id", new { id });
        await audit.AppendAsync(tx, caller, "schedule.deleted", id, row.Name);
        return true;
    }, cancellationToken);

    private Task<ScheduleRow?> LockAsync(WriteTransaction tx, Caller caller, string id) => ScheduleRow.LockAsync(tx, Own, new { id, caller.OrganizationId });

    private static Task<ScheduleRow?> FindAsync(SqlSession sql, string organizationId, string id) =>
        sql.FirstAsync<ScheduleRow>("SELECT * FROM schedules WHERE " + Own, new { id, OrganizationId = organizationId });

    private async Task<ScheduleResult> ChangedAsync(WriteTransaction tx, Caller caller, string id)
    {
        tx.OnCommit(() => wakeUps.Notify(WakeUps.Schedules));
        return new ScheduleResult(await FindAsync(tx, caller.OrganizationId, id));
    }

    private static string Describe(CreateTaskRequest task) => task.Intent ?? $"runbook {task.RunbookId}";

    /// <summary>
    /// Null: they may. By the role of now, for what they change runs in their name from now on; the membership is locked before the schedule, as by everybody who locks both.
    /// </summary>
    private static async Task<Problem?> NotAllowedAsync(WriteTransaction tx, Caller caller)
    {
        var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
        return MembershipRules.Work(actor?.ParsedRole) is { } why ? MemberEndpoints.NotAllowed(why) : null;
    }

    private static string TakenOver(ScheduleRow row, string owner) => owner == row.OwnerId ? "" : $"; owner {owner} instead of {row.OwnerId}";

    /// <summary>The task as ticks will make it: its runbook by id, whatever becomes of the name, and in the version that there is now.</summary>
    private async Task<(CreateTaskRequest Task, long? RunbookVersion, Problem? Problem)> PinAsync(WriteTransaction tx, string organizationId, CreateTaskRequest task)
    {
        var (unmet, errors) = (new FieldErrors(), new FieldErrors());
        var origin = await tasks.CheckAsync(tx, organizationId, task, unmet);
        errors.AddUnder("task", unmet);
        return (task with { RunbookId = origin.RunbookId }, origin.RunbookVersion, errors.Any ? errors.ToProblem() : null);
    }

    private async Task<ScheduleResult> UniquelyAsync(string name, Func<WriteTransaction, Task<ScheduleResult>> work, CancellationToken cancellationToken)
    {
        try
        {
            return await database.WriteAsync(work, cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            return new ScheduleResult(null, Problem.Conflict(ErrorCode.NameTaken, $"There is a schedule '{name}' in this organization already.", "Choose another name, or change that one."));
        }
    }

    /// <summary>After the ticks that were dealt with, even when the clock was put back since: one tick makes one task.</summary>
    private static long? NextAfter(CronSchedule cron, DateTimeOffset now, long? lastTickAt) =>
        cron.Next(lastTickAt is { } last && last > now.ToUnixTimeMilliseconds() ? TaskMapping.Instant(last) : now)?.ToUnixTimeMilliseconds();

    private static string Write(CreateTaskRequest task) => JsonSerializer.Serialize(task, WireJson.Default.CreateTaskRequest);

    private static ScheduleResult Missing(string id) => new(null, Problem.NotFound("schedule", id));

    private static Problem Deleted() =>
        Problem.Of(404, ErrorCode.NotFound, "The schedule that this Idempotency-Key made has been deleted since.", "Use a new key to make another one.");

    /// <summary>Of whoever asks for a task beside one that has not ended.</summary>
    internal static Problem Busy(ScheduleRow row) => Problem.Conflict(ErrorCode.StateConflict, $"A task of this schedule has not ended yet, and its overlap rule is {row.Overlap}.",
        $"Wait for {row.LastTaskId} to end or cancel it, or change the rule to allow.", "running");
}
