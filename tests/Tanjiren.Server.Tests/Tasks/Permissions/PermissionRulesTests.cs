using Tanjiren.Protocol;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Tasks.Permissions;

namespace Tanjiren.Server.Tests.Tasks.Permissions;

public sealed class PermissionRulesTests
{
    [Fact]
    public void Only_what_is_pending_moves()
    {
        foreach (var from in Enum.GetValues<PermissionState>())
            foreach (var to in Enum.GetValues<PermissionState>())
                PermissionRules.MayMove(from, to).ShouldBe(from == PermissionState.Pending && to != PermissionState.Pending, $"{from} to {to}");
    }

    [Theory]
    [InlineData(ApprovalClass.None, PermissionVerdict.Allow, Role.Member)]
    [InlineData(ApprovalClass.SensitiveWrite, PermissionVerdict.Allow, Role.Admin)]
    [InlineData(ApprovalClass.ProductionMutation, PermissionVerdict.Allow, Role.Admin)]
    [InlineData(ApprovalClass.ProductionMutation, PermissionVerdict.Deny, Role.Member)]
    public void Allowing_is_as_much_as_approving(ApprovalClass ofTask, PermissionVerdict verdict, Role least) => PermissionRules.RoleFor(ofTask, verdict).ShouldBe(least);

    [Fact]
    public void Nobody_allows_alone_what_two_should_watch_and_everybody_denies()
    {
        PermissionRules.Judge(ApprovalClass.ProductionMutation, PermissionVerdict.Allow, own: true, members: 2, hasReason: true, ownAllowed: false).ShouldBe(ApproverVerdict.OwnAction);
        PermissionRules.Judge(ApprovalClass.ProductionMutation, PermissionVerdict.Allow, own: true, members: 2, hasReason: false, ownAllowed: true).ShouldBe(ApproverVerdict.May);
        PermissionRules.Judge(ApprovalClass.ProductionMutation, PermissionVerdict.Deny, own: true, members: 2, hasReason: false, ownAllowed: false).ShouldBe(ApproverVerdict.May);
        PermissionRules.Judge(ApprovalClass.SensitiveWrite, PermissionVerdict.Allow, own: true, members: 2, hasReason: false, ownAllowed: false).ShouldBe(ApproverVerdict.May);
    }
}
