using Tanjiren.Protocol;

namespace Tanjiren.Agent.Assignments;

/// <summary>What was asked for, of what an assignment must speak.</summary>
/// <param name="InstanceId">This workstation.</param>
/// <param name="Issuer">Thumbprint of the first key of the control plane that it was paired with.</param>
/// <param name="StepId">The step that was claimed.</param>
/// <param name="TaskId">Its task, as it was offered.</param>
/// <param name="ClaimId">Made for this claim and never used before.</param>
internal sealed record AskedClaim(string InstanceId, string Issuer, string StepId, string TaskId, string ClaimId);

/// <summary>Whether a signed assignment is for the claim's answer that came with it. Pure; the signature is judged elsewhere.</summary>
internal static class AssignmentRules
{
    /// <summary>
    /// The first thing that does not match, for people; null when all of it does. Every number of the answer that decides how long something runs is compared as well: a longer lease would
    /// have the step run here while it is given to another machine. Of the server's wall clock only a duration counts, for this machine's own need not agree with it.
    /// </summary>
    public static string? Mismatch(AssignmentClaims said, ClaimResponse answer, AskedClaim asked) =>
        said.Iss != asked.Issuer ? "it is by another control plane than the one that this workstation was paired with"
        : said.Aud != asked.InstanceId ? $"it is for the workstation {said.Aud}"
        : said.Stp != asked.StepId || answer.StepId != asked.StepId ? $"it is for the step {said.Stp}, and {asked.StepId} was claimed"
        : said.Tsk != asked.TaskId || answer.TaskId != asked.TaskId ? $"it is for the task {said.Tsk}, and {asked.TaskId} was offered"
        : said.Clm != asked.ClaimId ? $"it is for the claim {said.Clm}"
        : said.Gen != answer.LeaseGeneration ? $"it is for the lease generation {said.Gen}, and the answer says {answer.LeaseGeneration}"
        : said.Tmo != answer.TimeoutMs ? $"it lets the step run for {said.Tmo} ms, and the answer says {answer.TimeoutMs}"
        : said.Ttl != answer.LeaseTtlMs || said.Grc != answer.LeaseGraceMs ? $"its lease lasts {said.Ttl} and {said.Grc} ms, and the answer says {answer.LeaseTtlMs} and {answer.LeaseGraceMs}"
        : !(said.Tmo > 0 && said.Exp > said.Iat) ? "it has expired"
        : said.Sdg != AssignedWork.Of(answer).Digest() ? "the command, working directory, environment or another part of what is to run is not what the control plane signed"
        : said.Sec != AssignedWork.SecretsDigest(answer.Secrets, answer.SecretsSalt) ? "the secrets are not those that the control plane signed"
        : null;
}
