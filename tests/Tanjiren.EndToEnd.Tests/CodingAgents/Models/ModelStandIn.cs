using System.Collections.Concurrent;
using System.Net;
using System.Text;

using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;

namespace Tanjiren.EndToEnd.Tests.CodingAgents.Models;

/// <summary>
/// The models' HTTP APIs on loopback, with a script in place of a model: real streaming formats, real tool calls, no understanding. Real coding agents take it for what they
/// know, as far as a scripted conversation goes.
/// </summary>
internal sealed class ModelStandIn : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<ModelRequest> _requests = new();
    private volatile Func<ModelRequest, ModelTurn> _script = _ => ModelTurn.Say("Nothing is scripted.");

    private ModelStandIn()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0);
            kestrel.Limits.MaxRequestBodySize = 64 << 20;
        });
        _app = builder.Build();
        _app.Run(AnswerAsync);
    }

    /// <summary>Without a path: <c>http://127.0.0.1:PORT</c>.</summary>
    public string Url => _app.Urls.First();

    /// <summary>What was asked, asides too.</summary>
    public IReadOnlyList<ModelRequest> Requests => [.. _requests];

    /// <summary>Paths that are none of the three APIs.</summary>
    public ConcurrentQueue<string> Unknown { get; } = new();

    public static async Task<ModelStandIn> StartAsync()
    {
        var model = new ModelStandIn();
        await model._app.StartAsync(TestContext.Current.CancellationToken);
        return model;
    }

    /// <summary>One turn for each answer of a tool, from none on; the last one for all that follow.</summary>
    public void Script(params ModelTurn[] turns) => _script = request => turns[Math.Min(request.ToolAnswers, turns.Length - 1)];

    /// <summary>What it says to each prompt of a conversation, by words of that prompt which none of the others has.</summary>
    public void Talk(params (string Prompt, string Says)[] turns) =>
        _script = request => ModelTurn.Say(turns.MaxBy(turn => request.Text.LastIndexOf(turn.Prompt, StringComparison.Ordinal)).Says);

    public string Describe() => string.Join(Environment.NewLine, [.. Requests.Select(r => $"{r.Dialect} {r.Model}, {r.Tools.Count} tools, {r.ToolAnswers} answers"), .. Unknown.Select(p => "unknown: " + p)]);

    public async ValueTask DisposeAsync()
    {
        // Hanging answers are never to end by themselves.
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        var path = context.Request.Path.Value ?? "";
        using var reader = new StreamReader(context.Request.Body, Encoding.UTF8);
        var body = await reader.ReadToEndAsync(context.RequestAborted);
        ModelDialect? dialect = path.EndsWith("/messages", StringComparison.Ordinal) ? ModelDialect.Messages
            : path.EndsWith("/responses", StringComparison.Ordinal) ? ModelDialect.Responses
            : path.EndsWith("/chat/completions", StringComparison.Ordinal) ? ModelDialect.Chat : null;
        if (dialect is not { } spoken)
        {
            await AnswerOtherAsync(context, path);
            return;
        }
        var request = ModelRequest.Read(spoken, body);
        _requests.Enqueue(request);
        var turn = request.IsAside ? ModelTurn.Say("A title") : _script(request);
        if (turn is FailTurn failure) await FailAsync(context, failure.Status);
        else if (!request.Streams) await JsonAsync(context, 200, AnswerFrames.Whole(request, TextOf(turn)));
        else await StreamAsync(context, request, turn);
    }

    private static async Task StreamAsync(HttpContext context, ModelRequest request, ModelTurn turn)
    {
        context.Response.ContentType = "text/event-stream";
        var text = TextOf(turn);
        foreach (var frame in AnswerFrames.Start(request)) await SendAsync(context, frame);
        foreach (var word in text.Split(' ').Select((word, i) => i == 0 ? word : " " + word)) await SendAsync(context, AnswerFrames.Word(request, word));
        if (turn is HangTurn)
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return;
        }
        if (turn is CutTurn)
        {
            context.Abort();
            return;
        }
        var call = turn is RunTurn or WriteTurn ? ToolChoice.For(turn, request) : null;
        foreach (var frame in AnswerFrames.End(request, text, call)) await SendAsync(context, frame);
    }

    private static string TextOf(ModelTurn turn) => turn switch
    {
        SayTurn say => say.Text,
        HangTurn hang => hang.Text,
        CutTurn cut => cut.Text,
        _ => "I will do that.",
    };

    private static async Task SendAsync(HttpContext context, string frame)
    {
        await context.Response.WriteAsync(frame, context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }

    private Task AnswerOtherAsync(HttpContext context, string path)
    {
        if (path.EndsWith("/count_tokens", StringComparison.Ordinal)) return JsonAsync(context, 200, """{"input_tokens":100}""");
        if (path.EndsWith("/models", StringComparison.Ordinal)) return JsonAsync(context, 200, """{"object":"list","data":[{"id":"standin","object":"model","created":1,"owned_by":"tests"}]}""");
        Unknown.Enqueue($"{context.Request.Method} {path}");
        return JsonAsync(context, 404, """{"error":{"type":"not_found_error","message":"no such route of the stand-in"}}""");
    }

    private static Task FailAsync(HttpContext context, int status) =>
        JsonAsync(context, status, """{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}""");

    private static Task JsonAsync(HttpContext context, int status, string json)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(json, context.RequestAborted);
    }
}
