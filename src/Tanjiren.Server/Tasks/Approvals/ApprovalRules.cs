using Tanjiren.Protocol;

namespace Tanjiren.Server.Tasks.Approvals;

/// <summary>The legal transitions of an approval, how long it lasts, and who may give it. Pure; docs/concepts/approvals.md draws the same picture.</summary>
internal static class ApprovalRules
{
    /// <summary>How long it waits for an answer; then the task fails.</summary>
    public static readonly TimeSpan AnswerWithin = TimeSpan.FromDays(7);

    /// <summary>How long the first claim may take after the answer (T-07); then it is asked for again.</summary>
    public static readonly TimeSpan StartWithin = TimeSpan.FromMinutes(15);

    public static bool MayMove(ApprovalState from, ApprovalState to) => (from, to) switch
    {
        (ApprovalState.Pending, ApprovalState.Approved) => true,    // an admin or the owner
        (ApprovalState.Pending, ApprovalState.Rejected) => true,    // likewise
        (ApprovalState.Pending, ApprovalState.Expired) => true,     // no answer in time
        (ApprovalState.Pending, ApprovalState.Withdrawn) => true,   // the task changed or ended
        (ApprovalState.Approved, ApprovalState.Consumed) => true,   // the first claim
        (ApprovalState.Approved, ApprovalState.Expired) => true,    // no claim in time
        (ApprovalState.Approved, ApprovalState.Withdrawn) => true,  // the task changed or ended
        _ => false,
    };

    /// <summary>Whether this person may give this approval.</summary>
    /// <param name="wanted">What is approved.</param>
    /// <param name="own">Whether they made or changed the task.</param>
    /// <param name="members">People in the organization: one alone could ask nobody.</param>
    /// <param name="hasReason">Whether they said why.</param>
    /// <param name="ownAllowed">Whether the doctrine lets people approve their own.</param>
    public static ApproverVerdict Judge(ApprovalClass wanted, bool own, long members, bool hasReason, bool ownAllowed) =>
        wanted != ApprovalClass.ProductionMutation || !own || ownAllowed ? ApproverVerdict.May
        : members > 1 ? ApproverVerdict.OwnAction
        : hasReason ? ApproverVerdict.May : ApproverVerdict.ReasonMissing;

    /// <summary>Until when somebody must have answered what is asked now.</summary>
    public static long AnswerBy(long now) => now + (long)AnswerWithin.TotalMilliseconds;

    /// <summary>
    /// Until when the first step must have started: 15 minutes from the answer, or from the end of the freeze that holds the task back; an approval that ran out during
    /// a freeze would be worth nothing.
    /// </summary>
    public static long StartBy(long now, long? frozenUntil) => Math.Max(now, frozenUntil ?? now) + (long)StartWithin.TotalMilliseconds;
}

internal enum ApproverVerdict
{
    May,
    /// <summary>It is their own production mutation and somebody else could be asked.</summary>
    OwnAction,
    /// <summary>It is their own, they are alone in the organization, and must say why.</summary>
    ReasonMissing,
}
