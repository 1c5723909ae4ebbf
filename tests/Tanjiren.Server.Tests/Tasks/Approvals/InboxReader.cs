using System.Net.ServerSentEvents;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.Tasks.Approvals;

/// <summary>An open <c>GET /api/approvals/events</c>.</summary>
internal sealed class InboxReader : IAsyncDisposable
{
    private readonly HttpResponseMessage _response;
    private readonly IAsyncEnumerator<SseItem<ApprovalEventBody>> _items;

    private InboxReader(HttpResponseMessage response, Stream stream)
    {
        _response = response;
        var parser = SseParser.Create(stream, static (_, data) => JsonSerializer.Deserialize(data, WireJson.Default.ApprovalEventBody)!);
        _items = parser.EnumerateAsync(TestContext.Current.CancellationToken).GetAsyncEnumerator();
    }

    public static async Task<InboxReader> OpenAsync(HttpClient client)
    {
        var response = await client.GetAsync("/api/approvals/events", HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
        response.EnsureSuccessStatusCode();
        return new InboxReader(response, await response.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken));
    }

    /// <summary>Opens it and reads on to the news: the ids of those that wait.</summary>
    public static async Task<(InboxReader Reader, IReadOnlyList<string> Pending)> OpenToNewsAsync(HttpClient client)
    {
        var reader = await OpenAsync(client);
        var pending = new List<string>();
        while (await reader.ReadAsync() is { Name: not ApprovalEvents.Current } one)
        {
            (one.Name, one.Approval!.State).ShouldBe((ApprovalEvents.Pending, ApprovalState.Pending));
            pending.Add(one.Approval.Id);
        }
        return (reader, pending);
    }

    /// <summary>The next event; null when the server has ended the stream. A generous limit turns silence into a failure.</summary>
    public async Task<InboxEvent?> ReadAsync()
    {
        if (!await _items.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), TimeProvider.System)) return null;
        string.IsNullOrEmpty(_items.Current.EventId).ShouldBeTrue("nothing is resumed");
        return new InboxEvent(_items.Current.EventType, _items.Current.Data.Approval, _items.Current.Data.Permission);
    }

    /// <summary>The next event, in short.</summary>
    public async Task<(string? Name, string? Id)> NextAsync() => await ReadAsync() is { } next ? (next.Name, next.Approval?.Id) : (null, null);

    /// <summary>Cuts the connection, whatever was under way.</summary>
    public async ValueTask DisposeAsync()
    {
        _response.Dispose();
        await _items.DisposeAsync();
    }
}

internal sealed record InboxEvent(string Name, ApprovalBody? Approval, PermissionBody? Permission = null);
