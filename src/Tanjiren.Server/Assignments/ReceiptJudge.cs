using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Assignments;

/// <summary>
/// Whether a receipt is worth keeping: by the key that sent it, of this very result, and over an assignment of ours. Whoever verifies it later believes none of this; but one that
/// does not fit shows a bug while somebody can still look into it.
/// </summary>
internal sealed class ReceiptJudge(WorkKeys workKeys, ProofKeys proofKeys)
{
    private const string Field = "receipt";

    /// <summary>The result has passed every other check.</summary>
    public async ValueTask CheckAsync(Device device, string stepId, CompleteRequest result, FieldErrors errors, CancellationToken cancellationToken)
    {
        if (result.Receipt is null) return;
        if (Receipt.Parse(result.Receipt) is not { } receipt)
        {
            errors.Add(Field, $"must be a compact JWS of type {Receipt.Type} by {CompactJws.Algorithm}, at most {Receipt.MaxLength} characters, with the workstation's key in its header");
            return;
        }
        var said = receipt.Claims;
        errors.Require(said.Iss == device.InstanceId && said.Stp == stepId, Field, "is that of another workstation or step");
        if (said.DiffersIn(result) is { } other) errors.Add(Field, $"says something else than the result: {other}");
        var thumbprint = receipt.Signer.Thumbprint();
        errors.Require(thumbprint == device.KeyThumbprint, Field, "must be signed by the key that sends it; sign it anew when that has changed");
        if (errors.Any) return;
        if (!proofKeys.Verify(receipt.Signer, thumbprint, keep: true, receipt.Jws.SigningInput, receipt.Jws.Signature))
        {
            errors.Add(Field, "carries a wrong signature");
            return;
        }
        if (said.Asg is null) return;
        errors.Require(Assignment.Parse(said.Asg, out _) is { } assignment && assignment.Claims is var given
            && given.Aud == said.Iss && given.Stp == said.Stp && given.Gen == said.Gen && given.Tsk == said.Tsk && given.Sdg == said.Sdg
            && await workKeys.HaveSignedAsync(assignment, cancellationToken), Field, "is over an assignment that this server never made for this claim");
    }
}
