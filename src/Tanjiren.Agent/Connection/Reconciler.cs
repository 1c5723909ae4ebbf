using Tanjiren.Agent.Execution;
using Tanjiren.Agent.Outbox;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Connection;

/// <summary>
/// Brings journal and server together when a session opens: kills what an earlier life left running, says how each claim stands, and acts on the server's word.
/// The journal decides what may be said: "never started" only without an intent to spawn.
/// </summary>
internal sealed partial class Reconciler(AgentPlatform platform, Journal journal, OutboxSender outbox, string machineId, ILogger log)
{
    /// <summary>
    /// Kills the leftovers of every open claim. Called with no runner alive. What a copied journal names is not ours: on the same machine the original may be
    /// running it this moment, and if it is not, its watchdog has killed it.
    /// </summary>
    public async Task KillLeftoversAsync(CancellationToken ct)
    {
        var claims = Open().Where(c => c.MayHaveSpawned && c.Result is null && (c.MachineId ?? machineId) == machineId).ToList();
        foreach (var (claim, report) in await Task.WhenAll(claims.Select(KillAsync)))
        {
            if (!report.IsComplete) LogSurvivors(claim.StepId, report.ToString());
            else if (report.Killed.Count > 0) LogKilled(claim.StepId, report.Killed.Count);
        }

        async Task<(JournaledClaim, KillReport)> KillAsync(JournaledClaim claim) =>
            (claim, await platform.Tree(claim.Mark!.Value, claim.StepId).KillAsync(TimeSpan.Zero, ct));
    }

    /// <summary>What the session request says of each claim, and takes their uploads up.</summary>
    public IReadOnlyList<StepReport> Reports()
    {
        var reports = new List<StepReport>();
        foreach (var claim in Open())
        {
            var upload = outbox.Resume(claim);
            if (claim.Report is not { } state)
            {
                upload.SayNothing();
                continue;
            }
            if (claim.Result is { } result) upload.Complete(result, claim.Receipt);
            reports.Add(new StepReport { StepId = claim.StepId, LeaseGeneration = claim.Generation, ClaimId = claim.ClaimId, State = state });
        }
        return reports;
    }

    /// <summary>Acts on the server's word about each lease, after the session is granted and before anything else uses it.</summary>
    public void Apply(IReadOnlyList<LeaseAnswer> answers)
    {
        var open = Open();
        var handled = new HashSet<LeaseAnswer>();
        foreach (var claim in open)
        {
            if (claim.Report is null or StepReportState.Exited && claim.Result is not null) MarkHandled(claim);
            else Settle(claim, Answer(claim));
        }
        var settled = true;
        foreach (var answer in answers.Where(a => !handled.Contains(a) && a.Standing is LeaseStanding.Held or LeaseStanding.NotRenewed))
            if (open.All(c => c.StepId != answer.StepId || c.Generation != answer.LeaseGeneration)) settled &= HandBackUnknown(answer);
        if (settled && journal.Read(s => s.Damaged)) TryJournal(new JournalEntry { Kind = JournalKind.Settled, ClaimId = JournalEntry.NoClaim });

        LeaseAnswer? Answer(JournaledClaim claim)
        {
            var found = answers.FirstOrDefault(a => a.StepId == claim.StepId
                && (claim.Generation is { } g ? a.LeaseGeneration == g : a.ClaimId == claim.ClaimId));
            if (found is not null) handled.Add(found);
            return found;
        }

        void MarkHandled(JournaledClaim claim) => _ = Answer(claim);
    }

    /// <summary>
    /// The server thinks that we hold a lease of which no open claim tells: a claim whose answer was lost and which was given up. It goes back as never
    /// started, unless the journal knows of a spawn or has lost records, or the server does not say which claim it means; then nobody can say how it ended.
    /// </summary>
    /// <returns>False when it could not be journalled; it is tried again with the next heartbeat.</returns>
    public bool HandBackUnknown(LeaseAnswer answer)
    {
        // One hand-back at a time: heartbeats repeat themselves until the server has it.
        var claimId = answer.ClaimId ?? $"{Ids.Claim}unknown_{answer.StepId}_{answer.LeaseGeneration}";
        if (outbox.Find(claimId) is { HasWord: true }) return true;
        // Its last word could not be journalled when the session opened.
        if (outbox.Find(claimId) is not null && journal.Read(s => s.Find(claimId)) is { } known) return Settle(known, answer);
        var mayHaveSpawned = answer.ClaimId is null || journal.Read(s => s.MayHaveSpawned(claimId));
        LogUnknown(answer.StepId, answer.LeaseGeneration, mayHaveSpawned);
        try
        {
            // Not to look like a fresh claim to whoever reads this after a crash.
            journal.Append(new JournalEntry { Kind = JournalKind.Claiming, ClaimId = claimId, StepId = answer.StepId, Mark = mayHaveSpawned ? 0 : null }, durable: false);
            journal.Append(new JournalEntry { Kind = JournalKind.Leased, ClaimId = claimId, Generation = answer.LeaseGeneration }, durable: false);
            // The same in a record that an older agent understands too.
            if (mayHaveSpawned) journal.Append(new JournalEntry { Kind = JournalKind.Spawning, ClaimId = claimId, Mark = 0, MachineId = JournalState.LostMachine }, durable: false);
        }
        catch (IOException e)
        {
            LogLater(answer.StepId, e.Message);
            return false;
        }
        var claim = new JournaledClaim { ClaimId = claimId, StepId = answer.StepId, Generation = answer.LeaseGeneration };
        return mayHaveSpawned ? SayUnknown(claim, answer.LeaseGeneration) : GiveBack(claim, answer.LeaseGeneration);
    }

    private bool Settle(JournaledClaim claim, LeaseAnswer? answer)
    {
        if (answer is not (null or { Standing: LeaseStanding.Lost or LeaseStanding.Completed }))
        {
            // Only what is proved goes back: a result that could not be synced is in the state already, and says as little as none.
            return claim.Report == StepReportState.NeverStarted ? GiveBack(claim, answer.LeaseGeneration) : SayUnknown(claim, answer.LeaseGeneration);
        }
        outbox.Resume(claim).SayNothing();
        return true;
    }

    private bool SayUnknown(JournaledClaim claim, long generation)
    {
        var upload = outbox.Resume(claim with { Generation = generation });
        var words = StepResult.Unknown("The agent ended while it ran; its processes are dead and nobody saw the exit code.");
        var result = StepResult.Seal(words, claim.StepId, generation, 0, upload.Chunks.LastSeq, output: null);
        var receipt = upload.Describe(result, claim.TaskId, claim.Assignment, answered: null);
        if (!TryJournal(new JournalEntry { Kind = JournalKind.Result, ClaimId = claim.ClaimId, Result = result, Receipt = receipt })) return false;
        upload.Complete(result, receipt);
        return true;
    }

    private bool GiveBack(JournaledClaim claim, long generation)
    {
        var upload = outbox.Resume(claim with { Generation = generation });
        if (!TryJournal(new JournalEntry { Kind = JournalKind.Releasing, ClaimId = claim.ClaimId, Generation = generation })) return false;
        upload.Release(generation);
        return true;
    }

    private List<JournaledClaim> Open() => journal.Read(state => state.Claims.ToList());

    private bool TryJournal(JournalEntry entry)
    {
        try
        {
            journal.Append(entry, durable: true);
            return true;
        }
        catch (IOException e)
        {
            // The server lists the lease again with the next heartbeat, and this is tried again.
            LogLater(entry.ClaimId!, e.Message);
            return false;
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Count} processes of {StepId}, left by an earlier run of this agent, were killed")]
    private partial void LogKilled(string stepId, int count);

    [LoggerMessage(Level = LogLevel.Error, Message = "Processes of {StepId}, left by an earlier run of this agent, cannot be killed: {Survivors}")]
    private partial void LogSurvivors(string stepId, string survivors);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The server holds a lease of {StepId}, generation {Generation}, that no claim here knows; it goes back (may have started: {MayHaveSpawned})")]
    private partial void LogUnknown(string stepId, long generation, bool mayHaveSpawned);

    [LoggerMessage(Level = LogLevel.Error, Message = "What becomes of {What} cannot be journalled yet: {Reason}")]
    private partial void LogLater(string what, string reason);
}
