using Tanjiren.Protocol;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Server.Tasks.Permissions;

/// <summary>The legal transitions of a coding agent's question, who may answer it, and what an answer means. Pure; docs/concepts/coding-agents.md draws the same picture.</summary>
internal static class PermissionRules
{
    /// <summary>Of one step: what asks more often than this is denied unasked. With their arguments they stay below a tenth of what a step's log may have.</summary>
    public const int MaxOfStep = 2000;

    /// <summary>Of one step at once; coding agents ask one or a few at a time.</summary>
    public const int MaxPendingOfStep = 20;

    public static bool MayMove(PermissionState from, PermissionState to) => (from, to) switch
    {
        (PermissionState.Pending, PermissionState.Answered) => true,    // a person; a rule answers before it is pending
        (PermissionState.Pending, PermissionState.Expired) => true,     // no answer in time
        (PermissionState.Pending, PermissionState.Withdrawn) => true,   // its step ended, its task is being cancelled, the coding agent took it back
        _ => false,
    };

    /// <summary>
    /// The least role that may give this answer. Allowing is as much as approving a task of that class; whoever may make a task without any may also allow what it asks. To
    /// deny takes no more than to cancel the task.
    /// </summary>
    public static Role RoleFor(ApprovalClass ofTask, PermissionVerdict verdict) => verdict == PermissionVerdict.Allow && ofTask > ApprovalClass.None ? Role.Admin : Role.Member;

    /// <summary>Whether this person may give it: a production mutation that one alone watches over would have been approved by two for nothing.</summary>
    public static ApproverVerdict Judge(ApprovalClass ofTask, PermissionVerdict verdict, bool own, long members, bool hasReason, bool ownAllowed) =>
        verdict == PermissionVerdict.Deny ? ApproverVerdict.May : ApprovalRules.Judge(ofTask, own, members, hasReason, ownAllowed);

    /// <summary>What the answer is, or what is wrong with it: the field and why.</summary>
    public static (PermissionChoice? Choice, string Field, string Why) Choose(IReadOnlyList<PermissionOptionBody> options, PermissionVerdict? verdict, string? optionId)
    {
        if (optionId is not null)
        {
            if (options.FirstOrDefault(o => o.Id == optionId) is not { } option) return (null, "optionId", $"must be one of its options: {Words(options)}");
            if (VerdictOf(option.Kind) is not { } meant) return (null, "optionId", $"is of the kind '{option.Kind}', which says neither allow nor deny");
            if (verdict is not null && verdict != meant) return (null, "verdict", $"contradicts the option '{optionId}', which means {WireNames.Of(meant)}; give one of the two");
            return (new PermissionChoice(meant, optionId), "", "");
        }
        if (verdict is null) return (null, "verdict", "is required: allow or deny; or give optionId");
        var once = OnceOf(options, verdict.Value);
        // An agent that offers no such option can still be told no: its request is answered as cancelled.
        if (once is null && verdict == PermissionVerdict.Allow) return (null, "verdict", $"can't be allow: no option allows just this once; name one by optionId: {Words(options)}");
        return (new PermissionChoice(verdict.Value, once?.Id), "", "");
    }

    /// <summary>The option that says it for this question alone.</summary>
    public static PermissionOptionBody? OnceOf(IReadOnlyList<PermissionOptionBody> options, PermissionVerdict verdict) =>
        options.FirstOrDefault(o => o.Id is not null && o.Kind == (verdict == PermissionVerdict.Allow ? "allow_once" : "reject_once"));

    private static PermissionVerdict? VerdictOf(string? kind) => kind switch
    {
        "allow_once" or "allow_always" => PermissionVerdict.Allow,
        "reject_once" or "reject_always" => PermissionVerdict.Deny,
        _ => null,
    };

    private static string Words(IReadOnlyList<PermissionOptionBody> options) => options.Count == 0 ? "there are none" : string.Join(", ", options.Select(o => $"{o.Id} ({o.Kind})"));
}

/// <param name="Verdict">What is answered.</param>
/// <param name="OptionId">By which option; null: none of them says it.</param>
internal sealed record PermissionChoice(PermissionVerdict Verdict, string? OptionId);
