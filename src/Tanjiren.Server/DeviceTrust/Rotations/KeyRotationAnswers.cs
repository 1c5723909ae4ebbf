using System.Data.Common;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Organizations;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.DeviceTrust.Rotations;

/// <summary>
/// Admins' answers. In one transaction the old key ends, the new one begins and the change enters the chain, so there is no moment with two keys or none. Sessions and
/// leases are not touched: what runs belongs to the session, and the agent goes on with the same one.
/// </summary>
internal sealed class KeyRotationAnswers(Database database, InstanceDirectory directory, KeyRecords records, AuditLog audit, TimeProvider clock)
{
    private const string Look = "Look at its keys again: tanvrit-compute workstations keys NAME.";

    public async Task<(Problem? Problem, KeyRotationRow? Row)> ApproveAsync(Caller caller, string idOrName, string rotationId, string fingerprint, CancellationToken cancellationToken)
    {
        try
        {
            return await database.WriteAsync(tx => ApproveAsync(tx, caller, idOrName, rotationId, fingerprint), cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            // The same key was bound to another workstation at the same moment; now that is there to be seen.
            return await database.WriteAsync(tx => ApproveAsync(tx, caller, idOrName, rotationId, fingerprint), cancellationToken);
        }
    }

    public Task<(Problem? Problem, KeyRotationRow? Row)> RejectAsync(Caller caller, string idOrName, string rotationId, string? reason, CancellationToken cancellationToken) =>
        database.WriteAsync<(Problem?, KeyRotationRow?)>(async tx =>
        {
            var now = clock.GetUtcNow();
            var (problem, row) = await OpenAsync(tx, caller, idOrName, rotationId, now);
            if (row is null) return (problem, null);
            if (row.ParsedState != KeyRotationState.Pending)
                return row.ParsedState == KeyRotationState.Rejected && row.DecidedBy == caller.UserId ? (null, row) : (Answered(row), null);
            await EndAsync(tx, row, caller.UserId, reason, now);
            await audit.AppendAsync(tx, caller, $"workstation.key_{row.Kind}_rejected", row.InstanceId, $"{row.Id}{(reason is null ? "" : ": " + reason)}");
            return (null, await KeyRotationService.FindAsync(tx, row.InstanceId, row.Id));
        }, cancellationToken);

    private async Task<(Problem? Problem, KeyRotationRow? Row)> ApproveAsync(WriteTransaction tx, Caller caller, string idOrName, string rotationId, string fingerprint)
    {
        var now = clock.GetUtcNow();
        var (problem, row) = await OpenAsync(tx, caller, idOrName, rotationId, now);
        if (row is null) return (problem, null);
        var matches = KeyFingerprint.Matches(row.NewJkt, fingerprint);
        if (row.ParsedState != KeyRotationState.Pending)
            return row.ParsedState == KeyRotationState.Approved && row.DecidedBy == caller.UserId && matches ? (null, row) : (Answered(row), null);
        if (!matches) return (await MismatchAsync(tx, caller, row, now), null);
        if (await KeyRotationService.ActiveKeyAsync(tx, row.InstanceId) != row.OldJkt)
            return (Problem.Conflict(ErrorCode.StateConflict, "The workstation has another key by now.", Look, "withdrawn"), null);
        if (await KeyRotationService.IsBoundAsync(tx, row.NewJkt)) return (KeyRotationService.KeyIsBound(), null);
        return (null, await ChangeKeyAsync(tx, caller, row, now));
    }

    /// <summary>The request, with everything locked that the answer depends on; no row: the problem says why not.</summary>
    private async Task<(Problem? Problem, KeyRotationRow? Row)> OpenAsync(WriteTransaction tx, Caller caller, string idOrName, string rotationId, DateTimeOffset now)
    {
        // The role that counts is that of now: it may have been taken away since the request was admitted.
        var (actor, _) = await MemberRow.LockAsync(tx, caller.OrganizationId, caller.UserId, caller.UserId);
        if (MembershipRules.Manage(actor?.ParsedRole) is { } why) return (MemberEndpoints.NotAllowed(why), null);
        var instance = await directory.FindAsync(tx, caller.OrganizationId, idOrName);
        if (instance is null || !await KeyRotationService.LockAsync(tx, instance.Id)) return (InstanceEndpoints.Missing(idOrName), null);
        return await KeyRotationService.FindAsync(tx, instance.Id, rotationId) is { } row
            ? (null, await KeyRotationService.SettleAsync(tx, row, now.ToUnixTimeMilliseconds()))
            : (Problem.NotFound("request for another key", rotationId), null);
    }

    private async Task<KeyRotationRow> ChangeKeyAsync(WriteTransaction tx, Caller caller, KeyRotationRow row, DateTimeOffset now)
    {
        var nowMs = now.ToUnixTimeMilliseconds();
        var number = await tx.FirstAsync<long>("SELECT count(*) FROM key_rotations WHERE instance_id = @InstanceId AND state = 'approved'", new { row.InstanceId }) + 1;
        var approval = records.Sign(KeyRecord.ApprovalType, new KeyRecordClaims
        {
            Sub = row.InstanceId, Seq = number, Prev = row.OldJkt, Jkt = row.NewJkt, Sth = KeyRecord.DigestOf(row.Statement), By = caller.UserId, Iat = now.ToUnixTimeSeconds(),
        });
        var recovered = row.ParsedKind == KeyRotationKind.Recovery;
        await ChangeOneAsync(tx, "UPDATE instance_keys SET revoked_at = @nowMs, rotated = @rotated WHERE instance_id = @InstanceId AND jkt = @OldJkt AND revoked_at IS NULL",
            new { nowMs, rotated = recovered ? 0 : 1, row.InstanceId, row.OldJkt });
        await tx.ExecuteAsync("INSERT INTO instance_keys (id, instance_id, jkt, x, y, created_at) VALUES (@id, @InstanceId, @NewJkt, @NewX, @NewY, @nowMs)",
            new { id = Ids.New(Ids.Key, now), row.InstanceId, row.NewJkt, row.NewX, row.NewY, nowMs });
        await ChangeOneAsync(tx, "UPDATE key_rotations SET state = 'approved', decided_by = @UserId, decided_at = @nowMs, number = @number, approval = @approval WHERE id = @Id AND state = 'pending'",
            new { caller.UserId, nowMs, number, approval, row.Id });
        // A code for the key before this one must not undo it.
        await tx.ExecuteAsync("DELETE FROM pairing_codes WHERE instance_id = @InstanceId AND used_at IS NULL", new { row.InstanceId });
        await audit.AppendAsync(tx, caller, recovered ? "workstation.key_recovered" : "workstation.key_rotated", row.InstanceId, $"{row.Id}: key {row.NewJkt} for {row.OldJkt}, change {number}");
        return (await KeyRotationService.FindAsync(tx, row.InstanceId, row.Id))!;
    }

    private async Task<Problem> MismatchAsync(WriteTransaction tx, Caller caller, KeyRotationRow row, DateTimeOffset now)
    {
        var tries = row.Tries + 1;
        await tx.ExecuteAsync("UPDATE key_rotations SET tries = @tries WHERE id = @Id AND state = 'pending'", new { tries, row.Id });
        var left = KeyRotationRules.MaxTries - tries;
        await audit.AppendAsync(tx, caller, "workstation.key_fingerprint_mismatch", row.InstanceId, $"{row.Id}: try {tries} of {KeyRotationRules.MaxTries}");
        if (left <= 0)
        {
            await EndAsync(tx, row, null, $"{tries} fingerprints did not match", now);
            await audit.AppendAsync(tx, caller, $"workstation.key_{row.Kind}_rejected", row.InstanceId, $"{row.Id}: {tries} fingerprints did not match");
        }
        return Problem.Of(422, ErrorCode.FingerprintMismatch,
            $"That is not the end of the new key's fingerprint. It is the machine's, not this server's, to show: who asked may be somebody else. {(left > 0 ? $"Tries left: {left}" : "The request is rejected")}.",
            "On the machine itself run `tanvrit-compute agent status` and type the last 8 characters of its new key. If they do not match, reject the request: somebody else may have the old key.",
            left > 0 ? "pending" : "rejected");
    }

    private static Task EndAsync(WriteTransaction tx, KeyRotationRow row, string? by, string? reason, DateTimeOffset now) =>
        tx.ExecuteAsync("UPDATE key_rotations SET state = 'rejected', decided_by = @by, decided_at = @at, reason = @reason WHERE id = @Id AND state = 'pending'",
            new { by, at = now.ToUnixTimeMilliseconds(), reason, row.Id });

    /// <summary>Under the lock of the workstation's row nobody else can have moved it; should it ever be so, the transaction must not commit half of it.</summary>
    private static async Task ChangeOneAsync(WriteTransaction tx, string sql, object arguments)
    {
        if (await tx.ExecuteAsync(sql, arguments) != 1) throw new InvalidOperationException("A key was changed beside the lock of its workstation.");
    }

    private static Problem Answered(KeyRotationRow row) => Problem.Conflict(ErrorCode.StateConflict, $"The request is {row.State} already.", Look, row.State);
}
