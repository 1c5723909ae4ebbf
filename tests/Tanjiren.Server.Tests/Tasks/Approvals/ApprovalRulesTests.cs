using Tanjiren.Protocol;
using Tanjiren.Server.Tasks.Approvals;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>The table, written out: every pair that is not listed must be refused.</summary>
public sealed class ApprovalRulesTests
{
    [Fact]
    public void Approvals_move_only_along_the_lifecycle()
    {
        (ApprovalState, ApprovalState)[] legal =
        [
            (ApprovalState.Pending, ApprovalState.Approved), (ApprovalState.Pending, ApprovalState.Rejected), (ApprovalState.Pending, ApprovalState.Expired),
            (ApprovalState.Pending, ApprovalState.Withdrawn), (ApprovalState.Approved, ApprovalState.Consumed), (ApprovalState.Approved, ApprovalState.Expired),
            (ApprovalState.Approved, ApprovalState.Withdrawn),
        ];
        foreach (var from in Enum.GetValues<ApprovalState>())
        {
            foreach (var to in Enum.GetValues<ApprovalState>()) ApprovalRules.MayMove(from, to).ShouldBe(legal.Contains((from, to)), $"{from} to {to}");
        }
    }

    [Fact]
    public void Only_a_production_mutation_of_ones_own_is_nobodys_to_approve_who_could_ask_another()
    {
        bool[] either = [false, true];
        int[] people = [1, 2];
        foreach (var wanted in Enum.GetValues<ApprovalClass>())
        {
            foreach (var (own, members, reason, allowed) in
                from own in either from members in people from reason in either from allowed in either select (own, members, reason, allowed))
            {
                var expected = wanted != ApprovalClass.ProductionMutation || !own || allowed ? ApproverVerdict.May
                    : members == 2 ? ApproverVerdict.OwnAction : reason ? ApproverVerdict.May : ApproverVerdict.ReasonMissing;
                ApprovalRules.Judge(wanted, own, members, reason, allowed).ShouldBe(expected, $"{wanted}, own {own}, {members} members, reason {reason}, allowed {allowed}");
            }
        }
    }

    [Fact]
    public void The_fifteen_minutes_begin_with_the_answer_or_with_the_end_of_a_freeze()
    {
        ApprovalRules.StartBy(1000, null).ShouldBe(1000 + 900_000);
        ApprovalRules.StartBy(1000, 500).ShouldBe(1000 + 900_000);
        ApprovalRules.StartBy(1000, 5000).ShouldBe(5000 + 900_000);
    }

    [Fact]
    public void Classes_are_ordered() => (ApprovalClass.None < ApprovalClass.SensitiveWrite && ApprovalClass.SensitiveWrite < ApprovalClass.ProductionMutation).ShouldBeTrue();
}
