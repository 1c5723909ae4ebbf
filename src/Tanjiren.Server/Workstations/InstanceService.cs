using System.Data.Common;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Governance;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;

namespace Tanjiren.Server.Workstations;

internal enum InstanceChange
{
    Applied,
    /// <summary>It was so already; nothing was written.</summary>
    AlreadyDone,
    NotFound,
    NameTaken,
    /// <summary>The key was used with another body.</summary>
    KeyReused,
    TooManyTags,
    /// <summary>The doctrine names a tag that would come or go, and whoever asks is no admin.</summary>
    TagGuarded,
}

/// <summary><see cref="Row"/>: as it is now, unless there is none. <see cref="Why"/> is set when a tag is guarded.</summary>
internal readonly record struct InstanceOutcome(InstanceChange Change, InstanceRow? Row = null, string? Why = null)
{
    public static InstanceOutcome Guarded(string why) => new(InstanceChange.TagGuarded, Why: why);
}

/// <summary>Registers, renames, tags, drains and removes workstations; each one transaction with its audit row.</summary>
internal sealed class InstanceService(
    Database database, InstanceDirectory directory, DoctrineGate doctrine, Idempotency idempotency, AuditLog audit, WakeUps wakeUps, TimeProvider clock)
{
    /// <summary>The same machine in the same organization stays the same workstation: <c>AlreadyDone</c> with the first one's row.</summary>
    public async Task<InstanceOutcome> CreateAsync(
        Caller caller, string name, IReadOnlyList<string> tags, string? machineId, IdempotencyKey? key, CancellationToken cancellationToken)
    {
        try
        {
            return await database.WriteAsync(tx => CreateAsync(tx, caller, name, tags, machineId, key), cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            // Another request took the name or registered the machine between our look and our insert; now it is there to be seen.
            return await database.WriteAsync(tx => CreateAsync(tx, caller, name, tags, machineId, key), cancellationToken);
        }
    }

    /// <summary>Absent fields stay. Tags are changed under the row's lock, so two people tagging at once lose nothing.</summary>
    public async Task<InstanceOutcome> UpdateAsync(
        Caller caller, string idOrName, UpdateInstanceRequest request, CancellationToken cancellationToken)
    {
        try
        {
            return await database.WriteAsync<InstanceOutcome>(async tx =>
            {
                // The membership before the workstation, as everybody who locks both: the answer to an approval holds the one, a claim that it waits for the other.
                var actor = request is { Tags: null, AddTags: null, RemoveTags: null } ? null : await ActorAsync(tx, caller);
                if (await LockAsync(tx, caller, idOrName) is not { } row) return new InstanceOutcome(InstanceChange.NotFound);
                var name = request.Name?.Trim() ?? row.Name;
                if (name != row.Name && await directory.FindAsync(tx, caller.OrganizationId, name) is not null) return new InstanceOutcome(InstanceChange.NameTaken);
                var tags = TagRules.Normalize((request.Tags ?? row.Tags).Except(request.RemoveTags ?? []).Concat(request.AddTags ?? []));
                if (tags.Count > WireLimits.MaxTags) return new InstanceOutcome(InstanceChange.TooManyTags);
                var workerName = request.WorkerName is { } given ? given.Trim() is { Length: > 0 } chosen ? chosen : null : row.WorkerName;
                if (name == row.Name && workerName == row.WorkerName && tags.SequenceEqual(row.Tags)) return new InstanceOutcome(InstanceChange.AlreadyDone, row);
                if (await GuardAsync(tx, caller, actor, [.. tags.Except(row.Tags), .. row.Tags.Except(tags)]) is { } why) return InstanceOutcome.Guarded(why);
                await tx.ExecuteAsync("UPDATE instances SET name = @name, worker_name = @workerName, tags = @tags WHERE id = @Id", new { name, workerName, tags = TagRules.Format(tags), row.Id });
                await audit.AppendAsync(tx, caller, "workstation.updated", row.Id, $"name {name}{(workerName is null ? "" : $"; worker {workerName}")}; tags {string.Join(' ', tags)}");
                Wake(tx, row.Id);
                return new InstanceOutcome(InstanceChange.Applied, await directory.FindAsync(tx, caller.OrganizationId, row.Id));
            }, cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            return new InstanceOutcome(InstanceChange.NameTaken);
        }
    }

    /// <summary>Registers a machine again that is bound already. One that was paired by code stays as it is: it never stood on a credential.</summary>
    public Task<(InstanceChange Change, InstanceRow? Row)> RegisterAgainAsync(Caller caller, string idOrName, CancellationToken cancellationToken) =>
        database.WriteAsync<(InstanceChange, InstanceRow?)>(async tx =>
        {
            if (await LockAsync(tx, caller, idOrName) is not { } row) return (InstanceChange.NotFound, null);
            return row.MachineId is null ? (InstanceChange.AlreadyDone, row) : (InstanceChange.Applied, await StandOnAsync(tx, caller, row));
        }, cancellationToken);

    public Task<(InstanceChange Change, InstanceRow? Row)> SetDrainingAsync(Caller caller, string idOrName, bool draining, CancellationToken cancellationToken) =>
        database.WriteAsync<(InstanceChange, InstanceRow?)>(async tx =>
        {
            if (await LockAsync(tx, caller, idOrName) is not { } row) return (InstanceChange.NotFound, null);
            var value = draining ? 1 : 0;
            if (row.Draining == value) return (InstanceChange.AlreadyDone, row);
            await tx.ExecuteAsync("UPDATE instances SET draining = @value WHERE id = @Id", new { value, row.Id });
            await audit.AppendAsync(tx, caller, draining ? "workstation.drained" : "workstation.undrained", row.Id, row.Name);
            Wake(tx, row.Id);
            return (InstanceChange.Applied, await directory.FindAsync(tx, caller.OrganizationId, row.Id));
        }, cancellationToken);

    /// <summary>
    /// Removes a workstation: its key is revoked and its session ended, so its next request is refused; its leases run out, and steps that still wait for
    /// it fail, both by the lease reconciler. The name and the machine are free for a new one.
    /// </summary>
    public Task<InstanceChange> RemoveAsync(Caller caller, string idOrName, CancellationToken cancellationToken) => database.WriteAsync(async tx =>
    {
        if (await LockAsync(tx, caller, idOrName) is not { } row) return InstanceChange.NotFound;
        var change = new { now = NowMs(), row.Id };
        await tx.ExecuteAsync("UPDATE instances SET removed_at = @now WHERE id = @Id", change);
        await tx.ExecuteAsync("UPDATE instance_keys SET revoked_at = @now WHERE instance_id = @Id AND revoked_at IS NULL", change);
        await tx.ExecuteAsync("UPDATE instance_sessions SET ended_at = @now WHERE instance_id = @Id AND ended_at IS NULL", change);
        await tx.ExecuteAsync("DELETE FROM pairing_codes WHERE instance_id = @Id AND used_at IS NULL", change);
        var withdrawn = await tx.ListAsync<string>("""
            UPDATE key_rotations SET state = 'withdrawn', reason = 'the workstation was removed' WHERE instance_id = @Id AND state = 'pending' RETURNING kind || ' ' || id
            """, change);
        foreach (var rotation in withdrawn) await audit.AppendAsync(tx, caller, "workstation.key_rotation_withdrawn", row.Id, rotation + ": the workstation was removed");
        await audit.AppendAsync(tx, caller, "workstation.removed", row.Id, row.Name);
        Wake(tx, row.Id);
        return InstanceChange.Applied;
    }, cancellationToken);

    private async Task<InstanceOutcome> CreateAsync(
        WriteTransaction tx, Caller caller, string name, IReadOnlyList<string> tags, string? machineId, IdempotencyKey? key)
    {
        var now = clock.GetUtcNow();
        var id = Ids.New(Ids.Instance, now);
        var reservation = await idempotency.ReserveAsync(tx, caller, key, id);
        if (reservation.Reused) return new InstanceOutcome(InstanceChange.KeyReused);
        if (reservation.RepeatOf is { } earlier) return new InstanceOutcome(InstanceChange.AlreadyDone, await directory.FindAsync(tx, caller.OrganizationId, earlier));

        // The name first: of two registrations of one machine at once, the later one must find the machine wherever it finds the name.
        var nameTaken = await directory.FindAsync(tx, caller.OrganizationId, name) is not null;
        if (machineId is not null && await directory.FindByMachineAsync(tx, caller.OrganizationId, machineId) is { } same)
        {
            await idempotency.ReleaseAsync(tx, caller, key);
            return new InstanceOutcome(InstanceChange.AlreadyDone, await StandOnAsync(tx, caller, same));
        }
        if (nameTaken)
        {
            await idempotency.ReleaseAsync(tx, caller, key);
            return new InstanceOutcome(InstanceChange.NameTaken);
        }
        if (await GuardAsync(tx, caller, tags.Count == 0 ? null : await ActorAsync(tx, caller), tags) is { } why)
        {
            await idempotency.ReleaseAsync(tx, caller, key);
            return InstanceOutcome.Guarded(why);
        }
        await tx.ExecuteAsync("""
            INSERT INTO instances (id, organization_id, name, machine_id, grant_id, tags, created_at)
            VALUES (@id, @OrganizationId, @name, @machineId, @grantId, @tags, @createdAt)
            """, new { id, caller.OrganizationId, name, machineId, grantId = machineId is null ? null : caller.GrantId, tags = TagRules.Format(tags), createdAt = now.ToUnixTimeMilliseconds() });
        await audit.AppendAsync(tx, caller, "workstation.created", id, name);
        return new InstanceOutcome(InstanceChange.Applied, await directory.FindAsync(tx, caller.OrganizationId, id));
    }

    /// <summary>Who asks, by the role of this moment, held until the end of the transaction; null: no member any more.</summary>
    private static async Task<MemberRow?> ActorAsync(WriteTransaction tx, Caller caller) => (await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId)).Actor;

    /// <summary>
    /// Null, or why these tags may not come and go. What the doctrine names decides what a machine may run, so only admins change it: by the role of this moment, for
    /// what the request was admitted with may have been taken away since.
    /// </summary>
    private async Task<string?> GuardAsync(WriteTransaction tx, Caller caller, MemberRow? actor, IReadOnlyList<string> changed)
    {
        if (changed.Count == 0 || await doctrine.GuardAsync(tx, caller.OrganizationId, changed) is not { } why) return null;
        return actor?.ParsedRole >= Role.Admin ? null : why;
    }

    /// <summary>
    /// Puts a workstation under the credential that registers its machine now: an OAuth grant, or none for a personal access token, in place of whatever
    /// was there. So a machine that was signed out is back with the next sign-in.
    /// </summary>
    private async Task<InstanceRow> StandOnAsync(WriteTransaction tx, Caller caller, InstanceRow row)
    {
        if (row.GrantId == caller.GrantId) return row;
        await tx.ExecuteAsync("UPDATE instances SET grant_id = @GrantId WHERE id = @Id", new { caller.GrantId, row.Id });
        await audit.AppendAsync(tx, caller, "workstation.registered_again", row.Id, $"{row.Name}; {caller.GrantId ?? "by a personal access token"}");
        Wake(tx, row.Id);
        return (await directory.FindAsync(tx, caller.OrganizationId, row.Id))!;
    }

    /// <summary>The row, held until the end of the transaction, as it is after whoever held it before.</summary>
    private async Task<InstanceRow?> LockAsync(WriteTransaction tx, Caller caller, string idOrName)
    {
        var row = await directory.FindAsync(tx, caller.OrganizationId, idOrName);
        if (row is null || await tx.FirstAsync<string>("SELECT id FROM instances WHERE id = @Id AND removed_at IS NULL" + tx.ForUpdate, new { row.Id }) is null)
            return null;
        return await directory.FindAsync(tx, caller.OrganizationId, row.Id);
    }

    /// <summary>What it may be given has changed: its hanging requests look again.</summary>
    private void Wake(WriteTransaction tx, string instanceId) => tx.OnCommit(() => wakeUps.Notify(WakeUps.Work(instanceId)));

    private long NowMs() => clock.GetUtcNow().ToUnixTimeMilliseconds();
}
