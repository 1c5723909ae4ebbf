using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Faults.Kit;

/// <summary>The proxy against a real Kestrel and a real HttpClient: a fault that does not happen would make every fault test green.</summary>
public sealed class FaultProxyTests : IAsyncLifetime
{
    private readonly WebApplication _server;
    private readonly SemaphoreSlim _release = new(0);
    private FaultProxy _proxy = null!;
    private HttpClient _http = null!;
    private readonly TaskCompletionSource _streamed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _served;
    private int _aborted;

    public FaultProxyTests()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _server = builder.Build();
        _server.MapPost("/echo/{id}", async (HttpContext context) =>
        {
            using var reader = new StreamReader(context.Request.Body);
            var text = await reader.ReadToEndAsync();
            if (context.RequestAborted.IsCancellationRequested)
                Interlocked.Increment(ref _aborted);
            Interlocked.Increment(ref _served);
            return Results.Text(text.ToUpperInvariant());
        });
        _server.MapGet("/stream", async (HttpContext context) =>
        {
            await context.Response.WriteAsync("first\n");
            await context.Response.Body.FlushAsync();
            await _release.WaitAsync(context.RequestAborted);
            await context.Response.WriteAsync("second\n");
            await context.Response.CompleteAsync();
            _streamed.SetResult();
        });
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await _server.StartAsync(Cancellation);
        _proxy = FaultProxy.Start(new Uri(_server.Urls.Single()));
        _http = new HttpClient { BaseAddress = _proxy.Url, Timeout = TimeSpan.FromSeconds(90) };
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _proxy.DisposeAsync();
        await _server.DisposeAsync();
        _release.Dispose();
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Without_a_fault_bodies_of_both_framings_pass(bool chunked)
    {
        var text = new string('x', 300_000);
        for (var i = 0; i < 3; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/echo/1?q=1") { Content = new StringContent(text) };
            request.Headers.TransferEncodingChunked = chunked;
            using var answer = await _http.SendAsync(request, Cancellation);
            (await answer.Content.ReadAsStringAsync(Cancellation)).ShouldBe(text.ToUpperInvariant());
        }
        _proxy.Exchanges.Count.ShouldBe(3);
        await Task.WhenAll(_proxy.Exchanges.Select(exchange => exchange.Answered));
        _proxy.Exchanges.ShouldAllBe(exchange => exchange.Status == 200 && exchange.Path == "/echo/1" && exchange.AnsweredAt > exchange.ForwardedAt);
    }

    [Theory, InlineData(nameof(FaultKind.Drop)), InlineData(nameof(FaultKind.Reset))]
    public async Task A_broken_request_never_reaches_the_server_and_only_as_often_as_asked(string kind)
    {
        var rule = _proxy.Inject(Enum.Parse<FaultKind>(kind), "POST", "/echo/*", times: 1);
        var broken = await Should.ThrowAsync<HttpRequestException>(PostAsync("/echo/1"));
        if (kind == nameof(FaultKind.Reset))
            (broken.GetBaseException() as SocketException)?.SocketErrorCode.ShouldBe(SocketError.ConnectionReset, broken.ToString());
        _served.ShouldBe(0);
        rule.Hits.ShouldBe(1);
        (await PostAsync("/echo/1")).ShouldBe("HELLO");
    }

    [Fact]
    public async Task A_lost_response_has_been_served()
    {
        var rule = _proxy.Inject(FaultKind.LoseResponse, "POST", "/echo/*", times: 1);
        await Should.ThrowAsync<HttpRequestException>(PostAsync("/echo/1"));
        _served.ShouldBe(1);
        var lost = await rule.FirstHit;
        lost.Status.ShouldBe(200);
        Encoding.ASCII.GetString(lost.ResponseBody).ShouldContain("HELLO");
    }

    [Fact]
    public async Task Only_an_answer_with_the_status_that_is_meant_is_lost()
    {
        var rule = _proxy.Inject(FaultKind.LoseResponse, "POST", times: 1, onlyStatus: 200);
        using var missing = await _http.PostAsync("/missing", new StringContent("hello"), Cancellation);
        missing.StatusCode.ShouldBe(HttpStatusCode.NotFound);
        (rule.Hits, rule.FirstHit.IsCompleted).ShouldBe((0, false));
        await Should.ThrowAsync<HttpRequestException>(PostAsync("/echo/1"));
        (rule.Hits, (await rule.FirstHit).Path).ShouldBe((1, "/echo/1"));
        (await PostAsync("/echo/2")).ShouldBe("HELLO");
    }

    [Fact]
    public async Task A_delayed_request_is_delivered_after_its_client_has_left()
    {
        var rule = _proxy.Inject(FaultKind.Delay, "POST", "/echo/*", times: 1, delay: TimeSpan.FromSeconds(5));
        using var impatient = new CancellationTokenSource();
        var asked = _http.PostAsync("/echo/1", new StringContent("hello"), impatient.Token);
        await rule.FirstHit;
        await impatient.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(asked);
        _served.ShouldBe(0);
        await Eventually.TrueAsync(() => _served == 1);
        _aborted.ShouldBe(0);
        await Eventually.TrueAsync(() => _proxy.Exchanges.Single().Status == 200);
    }

    [Fact]
    public async Task A_stalled_request_goes_on_when_the_stall_is_lifted()
    {
        var rule = _proxy.Inject(FaultKind.Stall, path: "/echo/1");
        var stalled = PostAsync("/echo/1");
        (await PostAsync("/echo/2")).ShouldBe("HELLO");
        await rule.FirstHit;
        stalled.IsCompleted.ShouldBeFalse();
        rule.Lift();
        (await stalled).ShouldBe("HELLO");
    }

    [Fact]
    public async Task Streams_are_passed_on_as_they_come_and_a_partition_befalls_them_in_their_middle()
    {
        using var answer = await _http.GetAsync("/stream", HttpCompletionOption.ResponseHeadersRead, Cancellation);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(Cancellation));
        (await reader.ReadLineAsync(Cancellation)).ShouldBe("first");
        var stall = _proxy.Partition(FaultKind.Stall);
        _release.Release();
        var second = reader.ReadLineAsync(Cancellation).AsTask();
        await _streamed.Task;
        // The line has left the server. Without the stall it would be here long before another client's whole exchange with the server is.
        await PostAsync(_server.Urls.Single() + "/echo/2");
        second.IsCompleted.ShouldBeFalse();
        stall.Lift();
        (await second).ShouldBe("second");
    }

    [Fact]
    public async Task A_resetting_partition_cuts_what_hangs_and_what_comes_until_it_heals()
    {
        using var answer = await _http.GetAsync("/stream", HttpCompletionOption.ResponseHeadersRead, Cancellation);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(Cancellation));
        (await reader.ReadLineAsync(Cancellation)).ShouldBe("first");
        _proxy.Partition(FaultKind.Reset);
        await Should.ThrowAsync<IOException>(reader.ReadLineAsync(Cancellation).AsTask());
        await Should.ThrowAsync<HttpRequestException>(PostAsync("/echo/1"));
        _proxy.Heal();
        (await PostAsync("/echo/1")).ShouldBe("HELLO");
    }

    [Fact]
    public async Task A_server_that_is_gone_is_a_closed_connection()
    {
        await _server.StopAsync(Cancellation);
        await Should.ThrowAsync<HttpRequestException>(PostAsync("/echo/1"));
    }

    private async Task<string> PostAsync(string path)
    {
        using var answer = await _http.PostAsync(path, new StringContent("hello"), Cancellation);
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        return await answer.Content.ReadAsStringAsync(Cancellation);
    }
}
