namespace Tanjiren.Server.Hosting;

/// <summary>An answer that is a stream of events, as each of our streams writes it.</summary>
internal static class ServerSentEvents
{
    /// <summary>Between comment lines that keep proxies from closing an idle stream; and how late a stream looks by itself when a hint was lost.</summary>
    public static readonly TimeSpan KeepAlive = TimeSpan.FromSeconds(15);

    public static void Begin(HttpResponse response)
    {
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-store";
    }

    /// <summary>An event without an id leaves nothing to resume after.</summary>
    /// <param name="response">Begun.</param>
    /// <param name="name">Of the event.</param>
    /// <param name="json">In one line.</param>
    /// <param name="id">What <c>Last-Event-ID</c> brings back.</param>
    public static Task WriteAsync(HttpResponse response, string name, string json, long? id = null) =>
        response.WriteAsync($"{(id is null ? "" : $"id: {id}\n")}event: {name}\ndata: {json}\n\n", response.HttpContext.RequestAborted);

    public static Task WriteKeepAliveAsync(HttpResponse response) => response.WriteAsync(": still here\n\n", response.HttpContext.RequestAborted);
}
