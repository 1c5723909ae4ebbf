using System.Security.Cryptography;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;

namespace Tanjiren.Server.Tests.Assignments;

/// <summary>What an agent signs when a step has ended, and what a person verifies of it.</summary>
internal static class ReceiptCalls
{
    /// <summary>A job that prints these chunks, with the receipt of its end.</summary>
    public static async Task<TaskBody> RunSignedAsync(this ServerFixture server, DeviceClient agent, params string[] output)
    {
        var task = await server.Client.CreateTaskAsync(agent);
        await agent.EndSignedAsync(await agent.ClaimAsync(task.StepId()), output);
        return task;
    }

    public static async Task EndSignedAsync(this DeviceClient agent, ClaimResponse claim, string[] output, Func<CompleteRequest, CompleteRequest>? change = null)
    {
        LogChunk[] chunks = [.. output.Select((text, i) => AgentCalls.Chunk(i + 1, text))];
        if (chunks.Length > 0) (await agent.TryAppendAsync(claim.StepId, claim.LeaseGeneration, chunks)).EnsureSuccessStatusCode();
        var result = ResultOf(claim, chunks, change);
        (await agent.TryCompleteAsync(claim.StepId, result with { Receipt = agent.Sign(Describe(agent, claim, result, chunks)) })).EnsureSuccessStatusCode();
    }

    public static CompleteRequest ResultOf(ClaimResponse claim, IReadOnlyList<LogChunk> chunks, Func<CompleteRequest, CompleteRequest>? change = null)
    {
        var result = new CompleteRequest
        {
            LeaseGeneration = claim.LeaseGeneration, Outcome = StepOutcome.Succeeded, ExitCode = 0, DurationMs = 5, FinalLogSeq = chunks.Count, LogBytes = chunks.Sum(c => (long)c.Data.Length),
            OutputPreview = Convert.ToBase64String(chunks.Count > 0 ? chunks[^1].Data : []), Detail = "as expected",
        };
        if (change is not null) result = change(result);
        return result with { ResultDigest = ResultDigest.Compute(claim.StepId, result) };
    }

    public static ReceiptClaims Describe(DeviceClient agent, ClaimResponse claim, CompleteRequest result, IEnumerable<LogChunk> chunks)
    {
        var digest = new LogDigest();
        foreach (var chunk in chunks) digest.Add(chunk.Seq, chunk.Stream, chunk.At, chunk.Data);
        return ReceiptClaims.Of(claim.TaskId, claim.StepId, result, claim.Assignment, digest.Value, TimeProvider.System.GetUtcNow()) with { Iss = agent.InstanceId };
    }

    public static string Sign(this DeviceClient agent, ReceiptClaims claims, ECDsa? key = null) => Receipt.Sign(key ?? agent.Key, Receipt.Payload(claims));

    public static Task<StepReceiptBody> ReceiptAsync(this HttpClient client, TaskBody task) => client.GetBodyAsync<StepReceiptBody>($"/api/tasks/{task.Id}/steps/{task.StepId()}/receipt");

    /// <summary>As <c>jobs verify</c> does.</summary>
    public static async Task<ReceiptResult> VerifyAsync(this HttpClient client, TaskBody task, params string[] anchors)
    {
        var verifier = new ReceiptVerifier(await client.ReceiptAsync(task), anchors);
        string? cursor = null;
        do
        {
            var page = await client.GetBodyAsync<Page<LogChunkBody>>($"/api/tasks/{task.Id}/steps/{task.StepId()}/logs?limit=2" + (cursor is null ? "" : "&cursor=" + cursor));
            foreach (var chunk in page.Items) verifier.Add(chunk);
            cursor = page.NextCursor;
        }
        while (cursor is not null);
        return verifier.Finish();
    }
}
