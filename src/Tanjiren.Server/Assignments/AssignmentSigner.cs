using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Server.Assignments;

/// <summary>
/// Signs what a claim was granted (D-06). After the commit, because others wait for a transaction, on SQLite all of them: a server that dies in between has granted a claim whose answer is asked
/// for again, and signed then.
/// </summary>
internal sealed class AssignmentSigner(WorkKeys keys, TimeProvider clock)
{
    /// <summary>The answer with its assignment. A repeated claim says the same again, but for the time that is left.</summary>
    public async ValueTask<ClaimResponse> SignAsync(Device device, string claimId, ClaimResponse granted, StartApproval? approval, CancellationToken cancellationToken)
    {
        var current = await keys.CurrentAsync(cancellationToken);
        var now = clock.GetUtcNow().ToUnixTimeSeconds();
        var salt = granted.Secrets is { Count: > 0 } ? Ids.Secret(256) : null;
        return granted with
        {
            SecretsSalt = salt,
            Assignment = current.Sign(new AssignmentClaims
            {
                Iss = current.Issuer, Aud = device.InstanceId, Tsk = granted.TaskId, Stp = granted.StepId, Gen = granted.LeaseGeneration, Clm = claimId, Sdg = AssignedWork.Of(granted).Digest(),
                Sec = AssignedWork.SecretsDigest(granted.Secrets, salt),
                Apr = approval?.Id, Act = approval?.ActionHash, Tmo = granted.TimeoutMs, Ttl = granted.LeaseTtlMs, Grc = granted.LeaseGraceMs,
                Iat = now, Exp = now + (granted.TimeoutMs + 999) / 1000,
            }),
        };
    }
}
