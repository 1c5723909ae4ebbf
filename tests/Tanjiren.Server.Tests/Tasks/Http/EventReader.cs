using System.Net.ServerSentEvents;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Tasks.Http;

/// <summary>An open <c>GET /api/tasks/{id}/events</c>.</summary>
internal sealed class EventReader : IAsyncDisposable
{
    private readonly HttpResponseMessage _response;
    private readonly IAsyncEnumerator<SseItem<TaskEventBody>> _items;

    private EventReader(HttpResponseMessage response, Stream stream)
    {
        _response = response;
        var parser = SseParser.Create(stream, static (_, data) => JsonSerializer.Deserialize(data, WireJson.Default.TaskEventBody)!);
        _items = parser.EnumerateAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator();
    }

    public static async Task<EventReader> OpenAsync(HttpClient client, string taskId, long? lastEventId = null, string? route = null)
    {
        var cancelled = TestContext.Current.CancellationToken;
        using var request = new HttpRequestMessage(HttpMethod.Get, (route ?? "/api/tasks/{id}/events").Replace("{id}", taskId, StringComparison.Ordinal));
        if (lastEventId is not null) request.Headers.Add("Last-Event-ID", lastEventId.Value.ToString());
        var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancelled);
        response.EnsureSuccessStatusCode();
        return new EventReader(response, await response.Content.ReadAsStreamAsync(cancelled));
    }

    /// <summary>The next event; null when the server has ended the stream. A generous limit turns silence into a failure.</summary>
    public async Task<TaskEvent?> ReadAsync()
    {
        if (!await _items.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), TimeProvider.System)) return null;
        return new TaskEvent(long.Parse(_items.Current.EventId!), _items.Current.EventType, _items.Current.Data);
    }

    public async Task<List<TaskEvent>> ReadToEndAsync()
    {
        var all = new List<TaskEvent>();
        while (await ReadAsync() is { } one) all.Add(one);
        return all;
    }

    /// <summary>Cuts the connection, whatever was under way.</summary>
    public async ValueTask DisposeAsync()
    {
        _response.Dispose();
        await _items.DisposeAsync();
    }
}

internal sealed record TaskEvent(long Id, string Name, TaskEventBody Body);
