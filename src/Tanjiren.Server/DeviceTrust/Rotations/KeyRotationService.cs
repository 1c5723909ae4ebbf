using System.Data.Common;
using Tanjiren.Protocol;
using Tanjiren.Server.Audit;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.DeviceTrust.Rotations;

/// <summary>
/// How a machine asks for another key: with the word of the old one, or with a recovery code when that is lost. One transaction each, under the lock of the workstation's
/// row, so that asking and answering never cross. Nothing changes yet: that is <see cref="KeyRotationAnswers"/>'.
/// </summary>
internal sealed class KeyRotationService(Database database, ServerSecrets secrets, AttemptLimiter limiter, AuditLog audit, TimeProvider clock)
{
    private const string Columns = """
        id, instance_id, kind, state, old_jkt, new_jkt, new_x, new_y, statement, host_name, requested_at, expires_at, tries, decided_by, decided_at, reason, number, approval
        """;

    public static Task<KeyRotationRow?> FindAsync(SqlSession sql, string instanceId, string id) =>
        sql.FirstAsync<KeyRotationRow>($"SELECT {Columns} FROM key_rotations WHERE instance_id = @instanceId AND id = @id", new { instanceId, id });

    public static Task<KeyRotationRow?> PendingAsync(SqlSession sql, string instanceId) =>
        sql.FirstAsync<KeyRotationRow>($"SELECT {Columns} FROM key_rotations WHERE instance_id = @instanceId AND state = 'pending'", new { instanceId });

    /// <summary>The approved ones, oldest first.</summary>
    public static Task<IReadOnlyList<KeyRotationRow>> ChangesAsync(SqlSession sql, string instanceId) =>
        sql.ListAsync<KeyRotationRow>($"SELECT {Columns} FROM key_rotations WHERE instance_id = @instanceId AND state = 'approved' ORDER BY number", new { instanceId });

    public static Task<string?> ActiveKeyAsync(SqlSession sql, string instanceId) =>
        sql.FirstAsync<string>("SELECT jkt FROM instance_keys WHERE instance_id = @instanceId AND revoked_at IS NULL", new { instanceId });

    /// <summary>Whether this request still counts when it is looked at: one whose time is over is expired for good, whatever the clock says later.</summary>
    public static async Task<KeyRotationRow> SettleAsync(WriteTransaction tx, KeyRotationRow row, long now)
    {
        if (row.ParsedState != KeyRotationState.Pending || row.IsOpen(now)) return row;
        await tx.ExecuteAsync("UPDATE key_rotations SET state = 'expired' WHERE id = @Id AND state = 'pending'", new { row.Id });
        return row with { State = "expired" };
    }

    /// <summary>By a workstation that has proved its present key.</summary>
    public Task<(ProofRefusal? Refusal, Problem? Problem, KeyRotationRow? Row)> RequestAsync(Device device, RequestKeyRotation request, string? address, CancellationToken cancellationToken)
    {
        var errors = new FieldErrors();
        var judged = KeyRotationRules.Judge(request, device.InstanceId, device.KeyThumbprint, secrets.PublicKeys.Select(key => key.Thumbprint()), errors);
        var subject = KeyStatement.Read(request.Statement)?.SubjectFingerprint;
        return database.WriteAsync<(ProofRefusal?, Problem?, KeyRotationRow?)>(async tx =>
        {
            var now = clock.GetUtcNow();
            // A request that was admitted with a key which an approval has replaced since asks for nothing any more.
            if (!await LockAsync(tx, device.InstanceId) || await ActiveKeyAsync(tx, device.InstanceId) != device.KeyThumbprint)
                return (await DPoPVerifier.GoneAsync(tx, device.InstanceId, device.KeyThumbprint), null, null);
            if (subject is not null && await RepeatedAsync(tx, device, subject) is { } known) return (null, null, await SettleAsync(tx, known, now.ToUnixTimeMilliseconds()));
            if (judged is null) return (null, errors.ToProblem(), null);
            if (await IsBoundAsync(tx, judged.SubjectFingerprint)) return (null, KeyIsBound(), null);
            var open = await PendingAsync(tx, device.InstanceId) is { } pending ? await SettleAsync(tx, pending, now.ToUnixTimeMilliseconds()) : null;
            // Who has stolen the old key must not be able to push the recovery from it aside.
            if (open is { ParsedState: KeyRotationState.Pending, ParsedKind: KeyRotationKind.Recovery })
                return (null, Problem.Conflict(ErrorCode.StateConflict, "A recovery of this workstation's key waits for an admin.", "Wait for its end: it is answered, or expires within an hour.", "recovery_pending"), null);
            if (limiter.Take("key-rotation:" + device.InstanceId, KeyRotationRules.RequestsPerWindow, KeyRotationRules.RequestWindow) is { } seconds)
                return (null, SignIn.TooMany("requests for another key", seconds), null);
            await WithdrawAsync(tx, device.OrganizationId, device.InstanceId, device.InstanceId, open, address);
            var row = Row(device.InstanceId, KeyRotationKind.Rotation, device.KeyThumbprint, judged, request.Statement!, null, now, now + KeyRotationRules.RotationWaits);
            await InsertAsync(tx, device.OrganizationId, row, codeHash: null, address);
            return (null, null, row);
        }, cancellationToken);
    }

    /// <summary>Whether this code was redeemed by this key before: a machine that waits for the answer asks again and again.</summary>
    public Task<bool> IsRecoveryUnderWayAsync(string codeHash, string jkt, CancellationToken cancellationToken) => database.ReadAsync(async sql =>
        await sql.FirstAsync<string>("SELECT id FROM key_rotations WHERE code_hash = @codeHash AND new_jkt = @jkt", new { codeHash, jkt }) is not null, cancellationToken);

    /// <summary>By a machine that has a recovery code and has proved its new key. Neither problem nor row: the code does not work.</summary>
    public async Task<(Problem? Problem, KeyRotationRow? Row, PairedWorkstation? Workstation)> RecoverAsync(
        string codeHash, ProvenKey key, KeyStatement judged, string statement, string? hostName, string? address, CancellationToken cancellationToken)
    {
        try
        {
            return await database.WriteAsync(tx => RecoverAsync(tx, codeHash, key, judged, statement, hostName, address), cancellationToken);
        }
        catch (DbException e) when (database.Provider.IsUniqueViolation(e))
        {
            return await database.WriteAsync(tx => RecoverAsync(tx, codeHash, key, judged, statement, hostName, address), cancellationToken);
        }
    }

    private async Task<(Problem?, KeyRotationRow?, PairedWorkstation?)> RecoverAsync(
        WriteTransaction tx, string codeHash, ProvenKey key, KeyStatement judged, string statement, string? hostName, string? address)
    {
        var now = clock.GetUtcNow();
        var nowMs = now.ToUnixTimeMilliseconds();
        // What was asked for outlives its code, which is deleted soon after its time: a machine that was stopped before the approval may come back for the answer much later.
        var instanceId = await tx.FirstAsync<string>("SELECT instance_id FROM key_rotations WHERE code_hash = @codeHash", new { codeHash })
            ?? await tx.FirstAsync<string>("SELECT instance_id FROM pairing_codes WHERE code_hash = @codeHash AND kind = 'recovery'", new { codeHash });
        if (instanceId is null || await PairingCodes.WorkstationAsync(tx, instanceId) is not { } workstation) return (null, null, null);
        var known = await tx.FirstAsync<KeyRotationRow>($"SELECT {Columns} FROM key_rotations WHERE code_hash = @codeHash AND instance_id = @instanceId", new { codeHash, instanceId });
        if (known is not null) return known.NewJkt == key.Thumbprint ? (null, await SettleAsync(tx, known, nowMs), workstation) : (null, null, null);
        if (await ActiveKeyAsync(tx, instanceId) is not { } lost) return (null, null, null);
        // The same machine with another code, because the first is forgotten: what it needs was approved already, and its key would otherwise be bound and out of reach.
        if (lost == key.Thumbprint && await ApprovedAsync(tx, instanceId, lost) is { } done)
            return await tx.ExecuteAsync("""
                UPDATE pairing_codes SET used_at = coalesce(used_at, @nowMs), used_jkt = @Thumbprint
                WHERE code_hash = @codeHash AND (used_at IS NULL AND expires_at > @nowMs OR used_jkt = @Thumbprint)
                """, new { codeHash, key.Thumbprint, nowMs }) == 1 ? (null, done, workstation) : (null, null, null);
        if (await IsBoundAsync(tx, key.Thumbprint)) return (KeyIsBound(), null, null);
        if (await tx.ExecuteAsync("UPDATE pairing_codes SET used_at = @nowMs, used_jkt = @Thumbprint WHERE code_hash = @codeHash AND used_at IS NULL AND expires_at > @nowMs",
            new { codeHash, key.Thumbprint, nowMs }) == 0) return (null, null, null);
        var open = await PendingAsync(tx, instanceId) is { } pending ? await SettleAsync(tx, pending, nowMs) : null;
        await WithdrawAsync(tx, workstation.OrganizationId, instanceId, instanceId, open, address);
        var row = Row(instanceId, KeyRotationKind.Recovery, lost, judged, statement, hostName, now, now + KeyRotationRules.RecoveryWaits);
        await InsertAsync(tx, workstation.OrganizationId, row, codeHash, address);
        return (null, row, workstation);
    }

    /// <summary>The workstation's row, held until the end of the transaction; false when it was removed.</summary>
    public static async Task<bool> LockAsync(WriteTransaction tx, string instanceId) =>
        await tx.FirstAsync<string>("SELECT id FROM instances WHERE id = @instanceId AND removed_at IS NULL" + tx.ForUpdate, new { instanceId }) is not null;

    public static async Task<bool> IsBoundAsync(SqlSession sql, string jkt) => await sql.FirstAsync<string>("SELECT id FROM instance_keys WHERE jkt = @jkt", new { jkt }) is not null;

    public static Problem KeyIsBound() => Problem.Conflict(ErrorCode.AlreadyPaired, "This key was bound to a workstation before; a key is bound once.", "Make another key.", "key_bound");

    /// <summary>The same request before; also when it was approved meanwhile and the asker has gone on with the new key.</summary>
    private static Task<KeyRotationRow?> RepeatedAsync(SqlSession sql, Device device, string newJkt) => sql.FirstAsync<KeyRotationRow>($"""
        SELECT {Columns} FROM key_rotations
        WHERE instance_id = @InstanceId AND new_jkt = @newJkt AND kind = 'rotation' AND (old_jkt = @KeyThumbprint OR new_jkt = @KeyThumbprint AND state = 'approved') ORDER BY id DESC LIMIT 1
        """, new { device.InstanceId, device.KeyThumbprint, newJkt });

    private static Task<KeyRotationRow?> ApprovedAsync(SqlSession sql, string instanceId, string newJkt) => sql.FirstAsync<KeyRotationRow>(
        $"SELECT {Columns} FROM key_rotations WHERE instance_id = @instanceId AND new_jkt = @newJkt AND state = 'approved'", new { instanceId, newJkt });

    private async Task WithdrawAsync(WriteTransaction tx, string organizationId, string instanceId, string actor, KeyRotationRow? open, string? address)
    {
        if (open?.ParsedState != KeyRotationState.Pending) return;
        await tx.ExecuteAsync("UPDATE key_rotations SET state = 'withdrawn', reason = 'another request took its place' WHERE id = @Id AND state = 'pending'", new { open.Id });
        await audit.AppendAsync(tx, organizationId, actor, "workstation.key_rotation_withdrawn", instanceId, $"{open.Kind} {open.Id}: another request took its place", address);
    }

    private KeyRotationRow Row(string instanceId, KeyRotationKind kind, string oldJkt, KeyStatement judged, string statement, string? hostName, DateTimeOffset now, DateTimeOffset until) => new()
    {
        Id = Ids.New(Ids.KeyRotation, clock), InstanceId = instanceId, Kind = WireNames.Of(kind), State = "pending", OldJkt = oldJkt, NewJkt = judged.SubjectFingerprint,
        NewX = judged.Subject.X!, NewY = judged.Subject.Y!, Statement = statement, HostName = hostName, RequestedAt = now.ToUnixTimeMilliseconds(), ExpiresAt = until.ToUnixTimeMilliseconds(),
    };

    private async Task InsertAsync(WriteTransaction tx, string organizationId, KeyRotationRow row, string? codeHash, string? address)
    {
        await tx.ExecuteAsync("""
            INSERT INTO key_rotations (id, organization_id, instance_id, kind, state, old_jkt, new_jkt, new_x, new_y, statement, code_hash, host_name, requested_at, expires_at)
            VALUES (@Id, @organizationId, @InstanceId, @Kind, @State, @OldJkt, @NewJkt, @NewX, @NewY, @Statement, @codeHash, @HostName, @RequestedAt, @ExpiresAt)
            """, new
        {
            row.Id, organizationId, row.InstanceId, row.Kind, row.State, row.OldJkt, row.NewJkt, row.NewX, row.NewY, row.Statement, codeHash, row.HostName, row.RequestedAt, row.ExpiresAt,
        });
        // Only the start of the new fingerprint, here too: an admin must read the end of it at the machine.
        await audit.AppendAsync(tx, organizationId, row.InstanceId, $"workstation.key_{row.Kind}_requested", row.InstanceId,
            $"{row.Id}: key {KeyFingerprint.Start(row.NewJkt)}… for {row.OldJkt}{(row.HostName is null ? "" : "; host " + row.HostName)}", address);
    }
}
