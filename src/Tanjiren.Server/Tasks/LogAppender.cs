using Dapper;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Tasks;

/// <summary>
/// Stores output, keyed by (step, generation, sequence) and append-only. A workstation appends to generations that it held, also after they ended: nothing
/// that a machine printed is lost, and no state moves. A chunk that is stored already is dropped when it is the same and refused when it is not.
/// </summary>
internal sealed class LogAppender(Database database, TimeProvider clock, WakeUps wakeUps, Counters counters, RunMetrics metrics)
{
    private const int RowsPerInsert = 64;

    /// <summary>What the agent's own words (the marker of a cut log) may add beyond the limit of a step.</summary>
    private const long Slack = 64 * 1024;

    public async Task<AppendResult> AppendAsync(
        Device device, string stepId, long generation, IReadOnlyList<LogChunk> chunks, CancellationToken cancellationToken)
    {
        var result = await database.WriteAsync(tx => AppendAsync(tx, device, stepId, generation, chunks), cancellationToken);
        if (result.Kind is AppendKind.Stored) counters.Add(Counted.LogChunks, chunks.Count);
        else if (result.Kind is not AppendKind.NotFound) counters.Add(Counted.WritesRefused);
        return result;
    }

    private async Task<AppendResult> AppendAsync(WriteTransaction tx, Device device, string stepId, long generation, IReadOnlyList<LogChunk> chunks)
    {
        var locked = await LockedExecution.OfStepAsync(tx, stepId, clock, device.InstanceId, device.SessionId);
        if (locked is null || locked.OrganizationId != device.OrganizationId) return new AppendResult(AppendKind.NotFound, 0);
        var claim = await tx.FirstAsync<ClaimRow>("""
            SELECT c.log_seq, c.log_bytes, s.state, s.lease_generation, s.completed_generation, s.final_log_seq
            FROM step_claims c JOIN steps s ON s.id = c.step_id
            WHERE c.step_id = @stepId AND c.generation = @generation AND c.instance_id = @instanceId
            """, new { stepId, generation, instanceId = device.InstanceId });
        if (claim is null) return new AppendResult(AppendKind.NotFound, 0);
        if (!locked.SessionOpen) return new AppendResult(AppendKind.SessionEnded, claim.LogSeq);

        var known = chunks.Where(c => c.Seq <= claim.LogSeq).ToList();
        if (known.Count > 0 && !await AreSameAsync(tx, stepId, generation, known)) return new AppendResult(AppendKind.Conflict, claim.LogSeq);
        var fresh = chunks.Where(c => c.Seq > claim.LogSeq).ToList();
        if (fresh.Count == 0) return new AppendResult(AppendKind.Stored, claim.LogSeq);
        if (fresh[0].Seq != claim.LogSeq + 1) return new AppendResult(AppendKind.Gap, claim.LogSeq);
        if (claim.CompletedGeneration == generation && fresh[^1].Seq > claim.FinalLogSeq) return new AppendResult(AppendKind.Conflict, claim.LogSeq);
        var bytes = fresh.Sum(c => (long)c.Data.Length);
        if (claim.LogBytes + bytes > WireLimits.MaxStepLogBytes + Slack) return new AppendResult(AppendKind.LimitReached, claim.LogSeq);

        foreach (var batch in fresh.Chunk(RowsPerInsert)) await InsertAsync(tx, locked, stepId, generation, batch);
        await tx.ExecuteAsync("UPDATE step_claims SET log_seq = @seq, log_bytes = log_bytes + @bytes WHERE step_id = @stepId AND generation = @generation",
            new { stepId, generation, seq = fresh[^1].Seq, bytes });
        await locked.SaveAsync(wakeUps, metrics);
        return new AppendResult(AppendKind.Stored, fresh[^1].Seq);
    }

    private static async Task<bool> AreSameAsync(WriteTransaction tx, string stepId, long generation, List<LogChunk> chunks)
    {
        var stored = (await tx.ListAsync<StoredChunk>("""
            SELECT seq, signature FROM step_logs WHERE step_id = @stepId AND generation = @generation AND seq BETWEEN @first AND @last
            """, new { stepId, generation, first = chunks[0].Seq, last = chunks[^1].Seq })).ToDictionary(c => c.Seq, c => c.Signature);
        return chunks.All(c => stored.TryGetValue(c.Seq, out var signature) && signature == c.Signature());
    }

    private static async Task InsertAsync(WriteTransaction tx, LockedExecution locked, string stepId, long generation, LogChunk[] chunks)
    {
        var parameters = new DynamicParameters(new { stepId, generation, taskId = locked.TaskId });
        var rows = new string[chunks.Length];
        for (var i = 0; i < chunks.Length; i++)
        {
            rows[i] = $"(@stepId, @generation, @q{i}, @taskId, @e{i}, @s{i}, @a{i}, @g{i}, @d{i})";
            parameters.Add($"q{i}", chunks[i].Seq);
            parameters.Add($"e{i}", locked.NextEventSeq());
            parameters.Add($"s{i}", WireNames.Of(chunks[i].Stream));
            parameters.Add($"a{i}", chunks[i].At.ToUnixTimeMilliseconds());
            parameters.Add($"g{i}", chunks[i].Signature());
            parameters.Add($"d{i}", chunks[i].Data);
        }
        await tx.ExecuteAsync(
            "INSERT INTO step_logs (step_id, generation, seq, task_id, event_seq, stream, at, signature, data) VALUES " + string.Join(", ", rows), parameters);
    }

    private sealed record ClaimRow
    {
        public long LogSeq { get; init; }
        public long LogBytes { get; init; }
        public long? CompletedGeneration { get; init; }
        public long? FinalLogSeq { get; init; }
    }

    private sealed record StoredChunk
    {
        public long Seq { get; init; }
        public string Signature { get; init; } = "";
    }
}

internal enum AppendKind
{
    Stored,
    NotFound,
    SessionEnded,
    /// <summary>Another chunk is stored under one of these numbers, or the number is past the final one.</summary>
    Conflict,
    /// <summary>A chunk before these has not arrived.</summary>
    Gap,
    LimitReached,
}

internal sealed record AppendResult(AppendKind Kind, long StoredSeq);
