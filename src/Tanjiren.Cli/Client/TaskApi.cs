using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using System.Text.Json;

using Tanjiren.Cli.Settings;
using Tanjiren.Protocol;

namespace Tanjiren.Cli.Client;

/// <summary>The task routes.</summary>
internal sealed class TaskApi(ApiClient api, ClientTimeouts timeouts, TimeProvider clock)
{
    /// <summary>
    /// Creates a task once: an answer that got lost is asked for again under the same key until <see cref="ClientTimeouts.RepeatPost"/>. A server that
    /// never got the request is not waited for.
    /// </summary>
    public async Task<TaskBody> CreateAsync(CreateTaskRequest request, string idempotencyKey, CancellationToken cancellation)
    {
        var backoff = new Backoff(timeouts, clock);
        var start = clock.GetTimestamp();
        var mayHaveArrived = false;
        while (true)
        {
            TimeSpan? wait;
            try
            {
                return await api.SendAsync(HttpMethod.Post, "/api/tasks", request, WireJson.Default.CreateTaskRequest, WireJson.Default.TaskBody,
                    cancellation, idempotencyKey);
            }
            catch (UnreachableException e)
            {
                mayHaveArrived |= e.Sent;
                if (!mayHaveArrived) throw;
                if (clock.GetElapsedTime(start) > timeouts.RepeatPost) throw Unknown(idempotencyKey, e);
                wait = null;
            }
            catch (ApiException e) when (e.IsTransient && clock.GetElapsedTime(start) <= timeouts.RepeatPost)
            {
                mayHaveArrived = true;
                wait = e.RetryAfter;
            }
            await backoff.PauseAsync(cancellation, wait);
        }
    }

    public Task<TaskBody> GetAsync(string id, CancellationToken cancellation) =>
        api.GetAsync(Path(id), WireJson.Default.TaskBody, cancellation);

    /// <summary>Newest first; <paramref name="filter"/>: parts of the query that have a value restrict.</summary>
    public Task<Page<TaskBody>> ListAsync((string Name, string? Value)[] filter, int wanted, CancellationToken cancellation) => Query.PagesAsync((limit, cursor) =>
        api.GetAsync("/api/tasks" + Query.Of([.. filter, ("limit", limit.ToString()), ("cursor", cursor)]), WireJson.Default.PageTaskBody, cancellation), wanted);

    public Task<TaskBody> UpdateAsync(string id, UpdateTaskRequest change, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Patch, Path(id), change, WireJson.Default.UpdateTaskRequest, WireJson.Default.TaskBody, cancellation);

    public Task<TaskBody> CancelAsync(string id, string? reason, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, Path(id) + "/cancel", new CancelTaskRequest { Reason = reason },
            WireJson.Default.CancelTaskRequest, WireJson.Default.TaskBody, cancellation);

    /// <summary>Makes the attempt after this one now.</summary>
    public Task<TaskBody> RetryAsync(string id, string? reason, CancellationToken cancellation) =>
        api.SendAsync(HttpMethod.Post, Path(id) + "/retry", new RetryTaskRequest { Reason = reason },
            WireJson.Default.RetryTaskRequest, WireJson.Default.TaskBody, cancellation, Guid.NewGuid().ToString("N"));
    /// <summary>After a restore: lets the held tasks of the organization go on.</summary>
    public Task<ResumedTasks> ResumeAsync(CancellationToken cancellation) => api.PostAsync("/api/tasks/resume", WireJson.Default.ResumedTasks, cancellation);

    /// <summary>Why it is waiting.</summary>
    public Task<TaskExplanationBody> ExplainAsync(string id, CancellationToken cancellation) =>
        api.GetAsync(Path(id) + "/explain", WireJson.Default.TaskExplanationBody, cancellation);

    public Task<RuntimeOverviewBody> OverviewAsync(CancellationToken cancellation) =>
        api.GetAsync("/api/tasks/runtime-overview", WireJson.Default.RuntimeOverviewBody, cancellation);

    public Task<StepReceiptBody> ReceiptAsync(string id, string stepId, CancellationToken cancellation) =>
        api.GetAsync($"{Path(id)}/steps/{Uri.EscapeDataString(stepId)}/receipt", WireJson.Default.StepReceiptBody, cancellation);

    public Task<Page<LogChunkBody>> LogsAsync(string id, string stepId, string? cursor, int limit, CancellationToken cancellation) =>
        api.GetAsync($"{Path(id)}/steps/{Uri.EscapeDataString(stepId)}/logs" + Query.Of(("cursor", cursor), ("limit", limit.ToString())),
            WireJson.Default.PageLogChunkBody, cancellation);

    /// <summary>One connection's worth of events. It ends without an <c>end</c> event when the connection does.</summary>
    public async IAsyncEnumerable<TaskEvent> EventsAsync(string id, string? lastEventId, Action opened, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await using var stream = await api.OpenEventsAsync(Path(id) + "/events", lastEventId, cancellation);
        opened();
        // Parsed from the bytes: one chunk is up to 350 kB of base64, and a detour over a string would cost twice that again.
        var parser = SseParser.Create(stream, static (type, data) =>
            type is "task" or "log" or "end" or "approvalRequested" or "approved" or "rejected" or "approvalExpired" ? JsonSerializer.Deserialize(data, WireJson.Default.TaskEventBody) : null);
        await foreach (var item in parser.EnumerateAsync(cancellation))
            yield return new TaskEvent(item.EventType, item.Data, parser.LastEventId);
    }

    private static string Path(string id) => "/api/tasks/" + Uri.EscapeDataString(id);

    private static CliException Unknown(string key, Exception inner) => new(
        "the server stopped answering, so it is not known whether the job was created",
        $"run the same command with --idempotency-key {key}: it finds the job if there is one and creates it if not", inner);
}

/// <summary>An event with its position in the stream. <see cref="Body"/> is null for names that this version does not know.</summary>
internal readonly record struct TaskEvent(string Name, TaskEventBody? Body, string? Id);
