using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json;

using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

using Tanjiren.Protocol;

namespace Tanjiren.EndToEnd.Tests.Cli;

/// <summary>A request as the fake saw it.</summary>
internal sealed record SeenRequest(string Method, string Path, string Query, IReadOnlyDictionary<string, string> Headers, string Body)
{
    public string this[string header] => Headers.GetValueOrDefault(header, "");
}

/// <summary>A server on loopback that answers as each test scripts it: the client is the real one, down to its sockets.</summary>
internal sealed class FakeControlPlane : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly ConcurrentQueue<SeenRequest> seen = new();
    private readonly ConcurrentDictionary<string, Func<HttpContext, int, Task>> routes = new();
    private readonly ConcurrentDictionary<string, int> counts = new();

    private FakeControlPlane()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(k => k.Listen(IPAddress.Loopback, 0));
        builder.Services.AddRoutingCore();
        app = builder.Build();
        app.Run(HandleAsync);
    }

    public string Url => app.Urls.First();
    public IReadOnlyList<SeenRequest> Requests => [.. seen];
    public IReadOnlyList<SeenRequest> To(string method, string path) => [.. seen.Where(r => r.Method == method && r.Path == path)];

    public static async Task<FakeControlPlane> StartAsync()
    {
        var fake = new FakeControlPlane();
        await fake.app.StartAsync(TestContext.Current.CancellationToken);
        return fake;
    }

    /// <summary>Scripts a route; the number counts its requests from 1.</summary>
    public FakeControlPlane On(string method, string path, Func<HttpContext, int, Task> handle)
    {
        routes[$"{method} {path}"] = handle;
        return this;
    }

    public FakeControlPlane On<T>(string method, string path, T body, int status = 200) =>
        On(method, path, (context, _) => JsonAsync(context, body, status));

    public static Task JsonAsync<T>(HttpContext context, T body, int status = 200)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = body is ProblemBody ? "application/problem+json" : "application/json";
        return context.Response.WriteAsync(JsonSerializer.Serialize(body, WireJson.Default.Options));
    }

    public static Task ProblemAsync(HttpContext context, ErrorCode code, int status, string detail, string? hint = null,
        Dictionary<string, string[]>? errors = null) =>
        JsonAsync(context, new ProblemBody { Title = "No", Status = status, Code = ProblemBody.CodeName(code), Detail = detail, Hint = hint, Errors = errors }, status);

    public static async Task EventAsync(HttpContext context, long id, string name, TaskEventBody body)
    {
        if (!context.Response.HasStarted) context.Response.ContentType = "text/event-stream";
        await context.Response.WriteAsync(EventText(id, name, body));
        await context.Response.Body.FlushAsync();
    }

    public static string EventText(long id, string name, TaskEventBody body) =>
        $"event: {name}\nid: {id}\ndata: {JsonSerializer.Serialize(body, WireJson.Default.TaskEventBody)}\n\n";

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await app.StopAsync(now.Token);
        await app.DisposeAsync();
    }

    private async Task HandleAsync(HttpContext context)
    {
        using var reader = new StreamReader(context.Request.Body, Encoding.UTF8);
        var body = await reader.ReadToEndAsync();
        var key = $"{context.Request.Method} {context.Request.Path}";
        seen.Enqueue(new SeenRequest(context.Request.Method, context.Request.Path, context.Request.QueryString.Value ?? "",
            context.Request.Headers.ToDictionary(h => h.Key, h => h.Value.ToString(), StringComparer.OrdinalIgnoreCase), body));
        if (routes.TryGetValue(key, out var handle)) await handle(context, counts.AddOrUpdate(key, 1, static (_, n) => n + 1));
        else await ProblemAsync(context, ErrorCode.NotFound, 404, $"nothing at {key}");
    }
}
