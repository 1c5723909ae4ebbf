using Tanjiren.Protocol;

namespace Tanjiren.Agent.Assignments;

/// <summary>Whether a claim's answer may be acted on. Neither <see cref="Problem"/> nor <see cref="Later"/>: it may.</summary>
/// <param name="Problem">Why it may never, for the step's record.</param>
/// <param name="Later">Why nothing can be said now: the step goes back.</param>
internal readonly record struct AssignmentVerdict(string? Problem = null, string? Later = null);

/// <summary>
/// The last word before a process may exist (D-06): whoever is between this machine and its control plane can hold work up or have it ended, and neither make nor change any. An answer without an
/// assignment is refused too: one that may be left out protects from nobody, for whoever alters an answer can leave it out.
/// </summary>
internal sealed class AssignmentVerifier(WorkTrust trust)
{
    public async Task<AssignmentVerdict> VerifyAsync(ClaimResponse answer, PendingStep offered, string claimId, CancellationToken ct)
    {
        if (trust.Issuer is not { } issuer) return new AssignmentVerdict("This workstation knows no key of its control plane; pair it again.");
        if (answer.Assignment is null) return new AssignmentVerdict("The control plane's answer carries no signed assignment: it was taken out on the way, or the control plane is older than this agent; upgrade that first.");
        if (Assignment.Parse(answer.Assignment, out var problem) is not { } assignment) return Refused(problem);
        try
        {
            var (answered, key) = await trust.FindAsync(assignment.KeyId, ct);
            if (!answered) return new AssignmentVerdict(Later: "the control plane signs with a key that this workstation does not know yet, and could not be asked for it");
            if (key is null) return Refused($"it is signed by the key '{assignment.KeyId}', to which none that this workstation accepts leads");
            if (!assignment.IsSignedBy(key)) return Refused("its signature is wrong");
        }
        catch (OperationCanceledException) when (ct.IsCancellationRequested)
        {
            return new AssignmentVerdict(Later: "it was stopped while its assignment was verified");
        }
        return AssignmentRules.Mismatch(assignment.Claims, answer, new AskedClaim(trust.InstanceId, issuer, offered.StepId, offered.TaskId, claimId)) is { } mismatch ? Refused(mismatch) : default;
    }

    /// <summary>The words may repeat what somebody else wrote, and a result with control characters is one that the server never takes.</summary>
    private static AssignmentVerdict Refused(string why) =>
        new($"The signed assignment was refused: {string.Concat(why.Select(c => c is >= ' ' and <= '~' ? c : '?'))}.");
}
