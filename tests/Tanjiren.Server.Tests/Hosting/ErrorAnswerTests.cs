using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Tanjiren.Protocol;
using Tanjiren.Server.Tests.Tasks.Http;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

/// <summary>Whatever goes wrong is answered as a problem that says what to do next.</summary>
public sealed class ErrorAnswerTests
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("{\"name\": \"x\"", "")]
    [InlineData("{\"name\": x}", "at 'name'")]
    [InlineData("[]", "")]
    [InlineData("nonsense", "")]
    [InlineData("", "")]
    [InlineData("null", "")]
    public async Task Malformed_JSON_is_400_and_names_the_place(string body, string place)
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var response = server.Client.PostAsync("/api/instances", new StringContent(body, Encoding.UTF8, "application/json"), Cancelled);
        (await response.ProblemAsync(HttpStatusCode.BadRequest, ErrorCode.MalformedBody)).Detail!.ShouldContain(place);
    }

    [Theory]
    [InlineData("/api/instances", "{\"name\": 5}", "name")]
    [InlineData("/api/instances", "{\"name\": \"x\", \"tags\": [1]}", "tags[0]")]
    [InlineData("/api/tasks", "{\"timeoutSeconds\": 3000000000}", "timeoutSeconds")]
    [InlineData("/api/tasks", "{\"timeoutSeconds\": 1.5}", "timeoutSeconds")]
    [InlineData("/api/tasks", "{\"onWorkerLost\": \"x\"}", "onWorkerLost")]
    [InlineData("/api/tasks", "{\"command\": {\"argv\": [\"a\", 1]}}", "command.argv[1]")]
    public async Task A_value_that_does_not_fit_its_field_is_422_and_names_it(string route, string body, string field)
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var response = server.Client.PostAsync(route, new StringContent(body, Encoding.UTF8, "application/json"), Cancelled);
        (await response.ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe([field]);
    }

    [Fact]
    public async Task Properties_that_are_missing_deep_inside_are_named()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        using var agent = await server.NewAgentAsync("box");
        var (url, body) = (agent.Url("heartbeat"), "{\"maxConcurrent\": 1, \"leases\": [{\"phase\": \"running\"}]}"u8.ToArray());
        var proof = DeviceClient.Sign(agent.Header(), agent.Claims(HttpMethod.Post, url, body), agent.Key);
        var response = agent.SendRawAsync(HttpMethod.Post, url, body, [proof], ["DPoP " + agent.AccessToken]);
        (await response.ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["leases[0].leaseGeneration", "leases[0].stepId"], ignoreOrder: true);
    }

    [Fact]
    public async Task Unknown_routes_methods_and_media_types_are_problems_too()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        await server.Client.GetAsync("/api/nothing", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        var method = await server.Client.DeleteAsync("/api/instances", Cancelled);
        (await method.ProblemAsync(HttpStatusCode.MethodNotAllowed, ErrorCode.MethodNotAllowed)).Hint!.ShouldContain("GET");
        await server.Client.PostAsync("/api/instances", new StringContent("name=x", new MediaTypeHeaderValue("application/x-www-form-urlencoded")), Cancelled)
            .ProblemAsync(HttpStatusCode.UnsupportedMediaType, ErrorCode.UnsupportedMediaType);
        foreach (var charset in new[] { "none-such", "\"\"", "utf-7" })
        {
            using var unreadable = new HttpRequestMessage(HttpMethod.Post, "/api/instances") { Content = new ByteArrayContent("{}"u8.ToArray()) };
            unreadable.Content.Headers.TryAddWithoutValidation("Content-Type", "application/json; charset=" + charset);
            var response = await server.Client.SendAsync(unreadable, Cancelled);
            ((int)response.StatusCode).ShouldBeOneOf([415, 422], charset);
            response.Content.Headers.ContentType!.MediaType.ShouldBe("application/problem+json");
        }
        await server.Client.GetAsync("/openapi/none-such.json", Cancelled).ProblemAsync(HttpStatusCode.NotFound, ErrorCode.NotFound);
        (await server.Client.GetAsync("/api/instances?limit=many", Cancelled).ProblemAsync(HttpStatusCode.UnprocessableEntity, ErrorCode.ValidationFailed)).Errors!.Keys.ShouldBe(["limit"]);
    }

    [Theory]
    [InlineData("application/x-www-form-urlencoded", "code=a%00b")]
    [InlineData("multipart/form-data; boundary=x", "no part of it")]
    [InlineData("multipart/form-data", "no boundary")]
    public async Task A_form_that_cannot_be_read_is_400(string contentType, string body)
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        using var form = new HttpRequestMessage(HttpMethod.Post, "/setup") { Content = new StringContent(body, MediaTypeHeaderValue.Parse(contentType)) };
        form.Headers.Add("Origin", server.Url);
        await server.Client.SendAsync(form, Cancelled).ProblemAsync(HttpStatusCode.BadRequest, ErrorCode.MalformedBody);
    }

    [Fact]
    public async Task A_body_over_the_limit_is_413_with_or_without_a_length()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var large = "{\"name\":\"" + new string('x', WireLimits.MaxBodyBytes) + "\"}";
        await server.Client.PostAsync("/api/instances", new StringContent(large, Encoding.UTF8, "application/json"), Cancelled)
            .ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.BodyTooLarge);
        using var chunked = new HttpRequestMessage(HttpMethod.Post, "/api/instances") { Content = new StringContent(large, Encoding.UTF8, "application/json") };
        chunked.Headers.TransferEncodingChunked = true;
        await server.Client.SendAsync(chunked, Cancelled).ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.BodyTooLarge);
    }

    [Theory]
    [InlineData("/api/auth/login")]
    [InlineData("/api/setup")]
    public async Task Strangers_may_send_little(string route)
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        using var anonymous = server.NewClient(null);
        var large = "{\"password\":\"" + new string('x', WireLimits.MaxOpenBodyBytes) + "\"}";
        await anonymous.PostAsync(route, new StringContent(large, Encoding.UTF8, "application/json"), Cancelled)
            .ProblemAsync(HttpStatusCode.RequestEntityTooLarge, ErrorCode.BodyTooLarge);
    }

    [Fact]
    public async Task A_body_that_trickles_is_408()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite, o => o with
        {
            Settings = new Dictionary<string, string?> { ["Tanjiren:Hosting:BodyGraceSeconds"] = "2", ["Tanjiren:Hosting:MinBodyBytesPerSecond"] = "100000" },
        });
        using var socket = new TcpClient();
        var uri = new Uri(server.Url);
        await socket.ConnectAsync(uri.Host, uri.Port, Cancelled);
        var stream = socket.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"POST /api/instances HTTP/1.1\r\nHost: {uri.Authority}\r\nAuthorization: Bearer {server.Owner.Token}\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n{{"), Cancelled);
        using var reader = new StreamReader(stream);
        (await reader.ReadLineAsync(Cancelled)).ShouldBe("HTTP/1.1 408 Request Timeout");
        (await reader.ReadToEndAsync(Cancelled)).ShouldContain("\"code\":\"body_too_slow\"");
    }

    [Fact]
    public async Task A_failure_of_ours_is_500_with_a_trace_that_the_log_has_and_without_its_message()
    {
        await using var database = await TestDatabase.CreateAsync(DatabaseKind.Sqlite);
        await using var server = await ServerFixture.StartAsync(database.Url,
            configureApp: app => app.MapGet("/fails", string () => throw new InvalidOperationException("secret inner words")));
        var problem = await server.Client.GetAsync("/fails", Cancelled).ProblemAsync(HttpStatusCode.InternalServerError, ErrorCode.InternalError);
        problem.ToString().ShouldNotContain("secret");
        server.Log.Lines.ShouldContain(l => l.Contains(problem.TraceId!, StringComparison.Ordinal) && l.Contains("secret inner words", StringComparison.Ordinal));
    }
}
