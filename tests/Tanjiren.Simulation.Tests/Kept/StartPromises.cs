using Tanjiren.Protocol;
using Tanjiren.Server.Tasks;

namespace Tanjiren.Simulation.Tests.Kept;

/// <summary>
/// No start without a valid approval, and none under one that was used up: what may have run starts again only under an approval that was given after it was lost. What is
/// needed is judged by the request and by the seed's one doctrine: a machine tagged production asks for a production mutation.
/// </summary>
internal sealed class StartPromises(World world, Eye eye)
{
    private readonly Dictionary<string, long> _givenAt = [];
    private readonly Dictionary<string, long> _lostAt = [];
    private readonly HashSet<string> _ranUnderOne = [];
    private long _commit;

    public void Note(IReadOnlyList<ApprovalSeen> approvals, IReadOnlyList<EventSeen> events)
    {
        _commit++;
        foreach (var approval in approvals.Where(approval => approval.State is "approved" or "consumed")) _givenAt.TryAdd(approval.Id, _commit);
        foreach (var e in events.Where(e => e.Kind == "requeued")) _lostAt[e.StepId!] = _commit;
    }

    public void Check(StepSeen step, TaskSeen task, IReadOnlyList<ApprovalSeen> approvals)
    {
        var asked = WireNames.Parse<ApprovalClass>(task.AskedClass);
        var needed = eye.IsProduction(step.Holder!) ? ApprovalClass.ProductionMutation : asked;
        var lostAt = _lostAt.Remove(step.Id, out var at) ? at : (long?)null;
        var again = lostAt is not null && _ranUnderOne.Contains(step.Id);
        if (needed == ApprovalClass.None && !again) return;
        _ranUnderOne.Add(step.Id);

        // Used by a first claim in time, or by that claim for all steps of the execution.
        var covers = approvals.Any(approval => approval.TaskId == task.Id && approval.State == "consumed" && approval.Hash == task.Hash
            && WireNames.Parse<ApprovalClass>(approval.Class) >= needed && approval.ConsumedAt < approval.ExpiresAt
            && (!again || _givenAt[approval.Id] > lostAt));
        if (!covers)
        {
            world.Fail($"{world.Names.Of(step.Id)} was started by {world.Names.Of(step.Holder)} {(again ? "again, after a start that may have happened, " : "")}without a valid approval of {needed}: "
                + string.Join(", ", approvals.Where(approval => approval.TaskId == task.Id).Select(approval => $"{approval.Number} {approval.Class} {approval.State}")));
        }
    }
}
