using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Tasks.Approvals;
using Tanjiren.Server.Workstations;

namespace Tanjiren.Server.Tasks.Explain;

/// <summary>
/// What doctrine and approvals say to a start of one task on each machine, within one explanation: asked once for all the machines that the doctrine can't tell apart, and
/// not without end.
/// </summary>
internal sealed class Judgements(ApprovalGate gate, DoctrineTags doctrineTags, SqlSession sql, ExplainedTask task, DateTimeOffset now)
{
    /// <summary>Of one explanation, however many steps it has: each judgement may cost a millisecond.</summary>
    internal const int Max = 100;

    private readonly Dictionary<(string Tags, int ApprovalFrom), Wait?> _judged = [];
    private (bool Known, IReadOnlySet<string>? Tags) _named;

    /// <summary>Not asked: it was asked often enough before. No wait: it may start there.</summary>
    public async Task<(bool Asked, Wait? Wait)> OfAsync(InstanceRow machine, int approvalFrom)
    {
        if (!_named.Known) _named = (true, await doctrineTags(sql, task.OrganizationId, task.DoctrineVersion));
        var key = (_named.Tags is { } named ? string.Join(' ', machine.Tags.Where(named.Contains)) : machine.TagsJson, approvalFrom);
        if (_judged.TryGetValue(key, out var known)) return (true, known);
        if (_judged.Count == Max) return (false, null);
        var (decision, verdict, _) = await gate.JudgeAsync(sql, task.SubjectAt(now.ToUnixTimeMilliseconds()), approvalFrom, machine.Tags);
        Wait? wait = verdict switch
        {
            ClaimRefusal.Forbidden => ExplainWords.Forbidden(decision),
            ClaimRefusal.Frozen => ExplainWords.Frozen(decision),
            ClaimRefusal.NeedsApproval => ExplainWords.ApprovalOfMachine(WireNames.Of(TaskPlanner.HigherOf(decision.Class, WireNames.Parse<ApprovalClass>(task.ApprovalClass)))),
            _ => null,
        };
        _judged[key] = wait;
        return (true, wait);
    }
}
