using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using Microsoft.AspNetCore.Builder;
using Tanjiren.Protocol;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Tests.Tasks;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

/// <summary>What the server's spans say, and what they must not. A listener sees the whole process: classes that depend on there being none share the collection.</summary>
[Collection(Name)]
public sealed class SpanTests : IDisposable
{
    public const string Name = "activity listeners";

    private readonly ConcurrentQueue<Activity> _spans = new();
    private readonly ActivityListener _listener;

    public SpanTests()
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name is ControlPlane.RequestSource or ControlPlane.TelemetryName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _spans.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public void Dispose() => _listener.Dispose();

    [Fact]
    public async Task No_span_holds_a_query_a_header_a_body_or_a_path_that_nobody_serves()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite, options => options with { OfferSetup = true });
        var secret = "s3cret" + Guid.NewGuid().ToString("n");
        var trace = ActivityTraceId.CreateRandom();
        (HttpMethod Method, string Path, HttpContent? Body)[] requests =
        [
            (HttpMethod.Get, "/setup?code=" + secret, null),
            (HttpMethod.Get, "/device?user_code=" + secret, null),
            (HttpMethod.Get, "/invitations?code=" + secret, null),
            (HttpMethod.Get, "/nothing/" + secret, null),
            (new HttpMethod(secret), "/", null),
            (HttpMethod.Get, "/api/tasks?cursor=" + secret, null),
            (HttpMethod.Post, "/api/instances/ws_0/heartbeat?session=" + secret, JsonHttp.Content(new HeartbeatRequest())),
            (HttpMethod.Post, "/api/auth/login?next=" + secret, JsonHttp.Content(new LoginRequest { Email = secret + "@example.org", Password = secret })),
            (HttpMethod.Post, "/oauth/token?x=" + secret, new FormUrlEncodedContent([new("grant_type", "refresh_token"), new("refresh_token", secret)])),
        ];
        using var client = new HttpClient { BaseAddress = new Uri(server.Url) };
        foreach (var (method, path, body) in requests)
        {
            using var request = new HttpRequestMessage(method, path) { Content = body };
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", secret);
            request.Headers.Add("DPoP", secret);
            request.Headers.Add("Cookie", "session=" + secret);
            request.Headers.Add("traceparent", $"00-{trace}-b7ad6b7169203331-01");
            (await client.SendAsync(request, Cancelled)).Dispose();
        }

        await Eventually.TrueAsync(() => Of(trace).Count >= requests.Length);
        Of(trace).Select(s => s.DisplayName).ShouldBe(
            ["GET /setup", "GET /device", "GET /invitations", "GET", "HTTP", "GET /api/tasks/", "POST /api/instances/{instanceId}/heartbeat", "POST /api/auth/login", "POST /oauth/token"], ignoreOrder: true);
        foreach (var span in Of(trace)) Words(span).ShouldAllBe(word => !word.Contains(secret), span.DisplayName);
    }

    [Fact]
    public async Task Probes_beats_and_polls_are_spans_only_within_a_trace()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        using var agent = await server.NewAgentAsync("box");
        await agent.BeatAsync();
        await agent.WorkAsync(waitSeconds: 0);
        await server.Client.GetStringAsync("/healthz", Cancelled);
        var trace = ActivityTraceId.CreateRandom();
        using var traced = new HttpRequestMessage(HttpMethod.Get, "/healthz");
        traced.Headers.Add("traceparent", $"00-{trace}-b7ad6b7169203331-01");
        (await server.Client.SendAsync(traced, Cancelled)).Dispose();

        await Eventually.TrueAsync(() => Of(trace).Count == 1);
        Of(trace).Single().DisplayName.ShouldBe("GET /healthz");
        _spans.Where(s => s.Recorded && s.ParentId is null).Select(s => s.DisplayName).ShouldAllBe(name => !name.Contains("health") && !name.Contains("heartbeat") && !name.Contains("/work"));
    }

    [Fact]
    public async Task A_failure_of_ours_is_an_error_and_a_client_s_is_not()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Sqlite);
        await using var server = await ServerFixture.StartAsync(database.Url, configureApp: app => app.MapGet("/broken/{id}", string (string id) => throw new InvalidOperationException(id)));
        using var client = new HttpClient { BaseAddress = new Uri(server.Url), DefaultRequestHeaders = { Authorization = new AuthenticationHeaderValue("Bearer", server.Owner.Token) } };
        foreach (var path in new[] { "/broken/x", "/api/tasks?limit=0" })
            (await client.GetAsync(path, Cancelled)).Dispose();
        Activity? Named(string name) => _spans.LastOrDefault(s => s.DisplayName == name && s.GetTagItem("http.response.status_code") is 500 or 422);
        await Eventually.TrueAsync(() => Named("GET /broken/{id}") is not null && Named("GET /api/tasks/") is not null);
        (Named("GET /broken/{id}")!.Status, Named("GET /broken/{id}")!.GetTagItem("error.type")).ShouldBe((ActivityStatusCode.Error, "500"));
        Named("GET /api/tasks/")!.Status.ShouldBe(ActivityStatusCode.Unset);
    }

    [Fact]
    public async Task What_the_reconciler_does_to_a_step_is_in_the_trace_of_its_task()
    {
        await using var engine = await Engine.StartAsync(DatabaseKind.Sqlite);
        var box = await engine.AddWorkstationAsync("box");
        var task = await engine.CreateTaskAsync([box], onWorkerLost: OnWorkerLost.Requeue);
        await engine.ClaimAsync(box, task.Execution!.Steps[0]);
        await engine.ServeAsync(2 * (Engine.TtlSeconds + Engine.GraceSeconds) + 2);

        var trace = ActivityTraceId.CreateFromString(task.TraceId);
        Of(trace).Where(s => s.OperationName == "reconcile step").Select(s => s.GetTagItem(ServerMeter.Item)).ShouldBe(["stale", "requeued"]);
    }

    private List<Activity> Of(ActivityTraceId trace) => [.. _spans.Where(s => s.TraceId == trace)];

    private static IEnumerable<string> Words(Activity span) =>
    [
        span.DisplayName, span.OperationName, span.StatusDescription ?? "", span.TraceStateString ?? "",
        .. span.TagObjects.SelectMany(t => new[] { t.Key, t.Value?.ToString() ?? "" }),
        .. span.Events.SelectMany(e => e.Tags.Select(t => t.Value?.ToString() ?? "").Append(e.Name)),
        .. span.Baggage.SelectMany(b => new[] { b.Key, b.Value ?? "" }),
    ];
}
