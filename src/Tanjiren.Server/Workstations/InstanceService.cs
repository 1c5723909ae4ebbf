using System.Data.Common;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;

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
}

/// <summary>Registers, renames, tags, drains and removes workstations; each one transaction with its audit row.</summary>
internal sealed class InstanceService(
    Database database, InstanceDirectory directory, Idempotency idempotency, AuditLog audit, WakeUps wakeUps, TimeProvider clock)
{
    /// <summary>The same machine in the same organization stays the same workstation: <c>AlreadyDone</c> with the first one's row.</summary>
    public async Task<(InstanceChange Change, InstanceRow? Row)> CreateAsync(
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
    public async Task<(InstanceChange Change, InstanceRow? Row)> UpdateAsync(
        Caller caller, string idOrName, UpdateInstanceRequest request, CancellationToken cancellationToken)
    {
        try
        {
            return await database.WriteAsync<(InstanceChange, InstanceRow?)>(async tx =>
            {
                if (await LockAsync(tx, caller, idOrName) is not { } row) return (InstanceChange.NotFound, null);
                var name = request.Name?.Trim() ?? row.Name;
                if (name != row.Name && await directory.FindAsync(tx, caller.OrganizationId, name) is not null) return (InstanceChange.NameTaken, null);
                var tags = TagRules.Normalize((request.Tags ?? row.Tags).Except(request.RemoveTags ?? []).Concat(request.AddTags ?? []));
                if (tags.Count > WireLimits.MaxTags) return (InstanceChange.TooManyTags, null);
                if (name == row.Name && tags.SequenceEqual(row.Tags)) return (InstanceChange.AlreadyDone, row);
                await tx.ExecuteAsync("UPDATE instances SET name = @name, tags = @tags WHERE id = @Id", new { name, tags = TagRules.Format(tags), row.Id });
                await audit.AppendAsync(tx, caller, "workstation.updated", row.Id, $"name {name}; tags {string.Join(' ', tags)}");
                Wake(tx, row.Id);
                return (InstanceChange.Applied, await directory.FindAsync(tx, caller.OrganizationId, row.Id));
            }, cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            return (InstanceChange.NameTaken, null);
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
        await audit.AppendAsync(tx, caller, "workstation.removed", row.Id, row.Name);
        Wake(tx, row.Id);
        return InstanceChange.Applied;
    }, cancellationToken);

    private async Task<(InstanceChange Change, InstanceRow? Row)> CreateAsync(
        WriteTransaction tx, Caller caller, string name, IReadOnlyList<string> tags, string? machineId, IdempotencyKey? key)
    {
        var now = clock.GetUtcNow();
        var id = Ids.New(Ids.Instance, now);
        var reservation = await idempotency.ReserveAsync(tx, caller, key, id);
        if (reservation.Reused) return (InstanceChange.KeyReused, null);
        if (reservation.RepeatOf is { } earlier) return (InstanceChange.AlreadyDone, await directory.FindAsync(tx, caller.OrganizationId, earlier));

        // The name first: of two registrations of one machine at once, the later one must find the machine wherever it finds the name.
        var nameTaken = await directory.FindAsync(tx, caller.OrganizationId, name) is not null;
        if (machineId is not null && await directory.FindByMachineAsync(tx, caller.OrganizationId, machineId) is { } same)
        {
            await idempotency.ReleaseAsync(tx, caller, key);
            return (InstanceChange.AlreadyDone, await StandOnAsync(tx, caller, same));
        }
        if (nameTaken)
        {
            await idempotency.ReleaseAsync(tx, caller, key);
            return (InstanceChange.NameTaken, null);
        }
        await tx.ExecuteAsync("""
            INSERT INTO instances (id, organization_id, name, machine_id, grant_id, tags, created_at)
            VALUES (@id, @OrganizationId, @name, @machineId, @grantId, @tags, @createdAt)
            """, new { id, caller.OrganizationId, name, machineId, grantId = machineId is null ? null : caller.GrantId, tags = TagRules.Format(tags), createdAt = now.ToUnixTimeMilliseconds() });
        await audit.AppendAsync(tx, caller, "workstation.created", id, name);
        return (InstanceChange.Applied, await directory.FindAsync(tx, caller.OrganizationId, id));
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
