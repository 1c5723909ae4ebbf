using Tanjiren.Cli.Output;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Jobs;

/// <summary>
/// Says on standard error that a job waits for an approval, for what, and how one gives it; and that it came. Each once. Who was told that it waits is told
/// that it was approved, also when the job was changed meanwhile and its newer approval was given before anybody saw it wait.
/// </summary>
internal sealed class ApprovalNotice(CliContext cli)
{
    private readonly HashSet<string> asked = [];
    private readonly HashSet<string> given = [];
    private bool waits;

    public void Look(TaskBody job)
    {
        foreach (var approval in job.Approvals ?? [])
        {
            if (approval.State == ApprovalState.Pending && asked.Add(approval.Id))
            {
                waits = true;
                cli.Say($"{job.Id} waits for an approval ({Words.Of(approval.Class)}: {Because(approval)}); an admin gives it with `tanvrit-compute jobs approve {job.Id}` (Ctrl-C cancels the job)");
            }
            else if (approval.State is ApprovalState.Approved or ApprovalState.Consumed && given.Add(approval.Id) && waits)
            {
                waits = false;
                cli.Say($"{job.Id} was approved by {Text.Safe(approval.DecidedBy)}{(approval.Reason is null ? "" : $": {Text.Safe(approval.Reason)}")}");
            }
        }
    }

    /// <summary>The rules that want it, in one line.</summary>
    public static string Because(ApprovalBody approval) =>
        Text.Safe(string.Join("; ", approval.Findings.Select(f => f.Rule == "request" ? f.Because : $"{f.Rule}: {f.Because}")).TrimEnd('.'));

    /// <summary>The approval that an answer is meant for: what its giver was shown.</summary>
    public static ApprovalBody? PendingOf(TaskBody job) => job.Approvals?.LastOrDefault(a => a.State == ApprovalState.Pending);
}
