using System.Collections.Concurrent;
using System.Threading.Channels;
using Tanjiren.Agent.Connection;
using Tanjiren.Protocol;

namespace Tanjiren.Agent.Outbox;

/// <summary>The outbox loop: one upload a claim, all at once, each in its own order.</summary>
internal sealed class OutboxSender : IDisposable
{
    /// <summary>Log requests in flight at once: enough to fill a line, few enough that memory stays flat (about 2 MiB each).</summary>
    private const int ParallelLogRequests = 8;

    private readonly ConcurrentDictionary<string, StepUpload> uploads = new();
    // Unbounded in type, bounded in fact: one entry a claim, and claims are bounded by capacity and by what an earlier run left.
    private readonly Channel<StepUpload> begun = Channel.CreateUnbounded<StepUpload>(new UnboundedChannelOptions { SingleReader = true });
    private readonly SemaphoreSlim logSlots = new(ParallelLogRequests, ParallelLogRequests);
    private readonly AgentHome home;
    private readonly AgentOptions options;
    private readonly UploadParts parts;

    public OutboxSender(AgentHome home, AgentOptions options, ControlPlaneClient client, SessionKeeper sessions, Journal journal, TimeProvider clock,
        ILoggerFactory logs)
    {
        (this.home, this.options) = (home, options);
        Budget = new OutboxBudget(options.OutboxBudgetBytes);
        parts = new UploadParts(client, sessions, journal, options.Timeouts, clock, logSlots, logs.CreateLogger("Tanjiren.Agent.Outbox"));
    }

    public OutboxBudget Budget { get; }

    public bool IsEmpty => uploads.IsEmpty;

    public int Count => uploads.Count;

    /// <summary>Starts the upload of a fresh claim.</summary>
    public StepUpload Begin(string claimId, string stepId, long generation, string? traceParent) =>
        Add(new StepUpload(claimId, stepId, generation, ChunkLog.Create(home.Outbox, claimId, Budget, options.Timeouts, parts.Clock, parts.Log), parts) { TraceParent = traceParent });

    /// <summary>The upload of a claim that the journal knows; taken up from the disk if it does not run yet.</summary>
    public StepUpload Resume(JournaledClaim claim) =>
        uploads.TryGetValue(claim.ClaimId, out var running)
            ? running
            : Add(Recover(claim));

    public StepUpload? Find(string claimId) => uploads.GetValueOrDefault(claimId);

    /// <summary>Leases of claims whose result waits here, for the heartbeat to keep alive.</summary>
    public IEnumerable<HeldLease> HeldWithoutRunner() => uploads.Values.Select(u => u.Held()).OfType<HeldLease>();

    /// <summary>The server has answered something: whoever backs off may try again. Only a hint.</summary>
    public void Wake()
    {
        foreach (var upload in uploads.Values) upload.Wake();
    }

    /// <summary>Deletes output of claims that the journal has closed or never knew (it was deleted, or a crash came between the two).</summary>
    public void DeleteOrphans(Func<string, bool> isKnown)
    {
        foreach (var claimId in Segment.ClaimsIn(home.Outbox).Where(id => !isKnown(id)).ToList())
            foreach (var segment in Segment.FindAll(home.Outbox, claimId)) segment.Delete();
    }

    /// <summary>Runs until cancelled. An upload that fails unexpectedly ends the loop, and with it the agent: its step would otherwise never end.</summary>
    public async Task RunAsync(CancellationToken ct)
    {
        var running = new HashSet<Task>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(ct);
        try
        {
            var next = begun.Reader.ReadAsync(ct).AsTask();
            while (true)
            {
                await Task.WhenAny(running.Append(next));
                foreach (var done in running.Where(t => t.IsCompleted).ToList())
                {
                    running.Remove(done);
                    await done;
                }
                if (!next.IsCompleted) continue;
                running.Add(UploadAsync(await next, stop.Token));
                next = begun.Reader.ReadAsync(ct).AsTask();
            }
        }
        finally
        {
            await stop.CancelAsync();
            await Task.WhenAll(running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    public void Dispose()
    {
        foreach (var upload in uploads.Values) upload.Dispose();
        logSlots.Dispose();
    }

    private StepUpload Recover(JournaledClaim claim)
    {
        var chunks = ChunkLog.Recover(home.Outbox, claim.ClaimId, claim.StoredSeq, Budget, options.Timeouts, parts.Clock, parts.Log);
        var upload = new StepUpload(claim.ClaimId, claim.StepId, claim.Generation ?? 0, chunks, parts) { TraceParent = claim.TraceParent };
        foreach (var answer in claim.Answers) upload.Answer(answer);
        return upload;
    }

    private StepUpload Add(StepUpload upload)
    {
        uploads[upload.ClaimId] = upload;
        begun.Writer.TryWrite(upload);
        return upload;
    }

    private async Task UploadAsync(StepUpload upload, CancellationToken ct)
    {
        await upload.RunAsync(ct);
        uploads.TryRemove(upload.ClaimId, out _);
        upload.Dispose();
    }
}
