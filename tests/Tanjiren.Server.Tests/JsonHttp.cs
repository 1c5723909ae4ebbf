using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests;

/// <summary>Sends and reads the wire's own JSON.</summary>
internal static class JsonHttp
{
    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public static Task<HttpResponseMessage> PostJsonAsync<T>(this HttpClient client, string url, T body) =>
        client.PostAsync(url, Content(body), Cancelled);

    public static Task<HttpResponseMessage> PatchJsonAsync<T>(this HttpClient client, string url, T body) =>
        client.PatchAsync(url, Content(body), Cancelled);

    public static async Task<T> GetBodyAsync<T>(this HttpClient client, string url) => await (await client.GetAsync(url, Cancelled)).BodyAsync<T>();

    public static HttpContent Content<T>(T body) => JsonContent.Create(body, WireJson.Default.Options.GetTypeInfo(typeof(T)));

    /// <summary>The body of a successful answer; any other fails the test with what it said.</summary>
    public static async Task<T> BodyAsync<T>(this HttpResponseMessage response)
    {
        var text = await response.Content.ReadAsStringAsync(Cancelled);
        response.IsSuccessStatusCode.ShouldBeTrue($"{response.RequestMessage?.Method} {response.RequestMessage?.RequestUri} answered {(int)response.StatusCode}: {text}");
        return (T)JsonSerializer.Deserialize(text, WireJson.Default.Options.GetTypeInfo(typeof(T)))!;
    }

    /// <summary>The problem of a refusal, which must be of this status and code and say what to do next.</summary>
    public static async Task<ProblemBody> ProblemAsync(this HttpResponseMessage response, HttpStatusCode status, ErrorCode code)
    {
        var text = await response.Content.ReadAsStringAsync(Cancelled);
        response.StatusCode.ShouldBe(status, text);
        response.Content.Headers.ContentType?.MediaType.ShouldBe("application/problem+json", text);
        var problem = JsonSerializer.Deserialize(text, WireJson.Default.ProblemBody)!;
        problem.Code.ShouldBe(ProblemBody.CodeName(code), text);
        problem.Status.ShouldBe((int)status);
        problem.Hint.ShouldNotBeNullOrEmpty();
        return problem;
    }

    public static async Task<ProblemBody> ProblemAsync(this Task<HttpResponseMessage> response, HttpStatusCode status, ErrorCode code) =>
        await (await response).ProblemAsync(status, code);
}
