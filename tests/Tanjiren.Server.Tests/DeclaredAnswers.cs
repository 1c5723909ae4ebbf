using System.Text.Json;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests;

/// <summary>
/// Under every test's client: an answer of a route that the OpenAPI document lists must be declared there, by status and content type. So every feature
/// test is a test of the document too. What is not a route of the document (pages, unknown paths, other methods) passes.
/// </summary>
internal sealed class DeclaredAnswers() : DelegatingHandler(new SocketsHttpHandler { UseCookies = false, AllowAutoRedirect = false })
{
    private static readonly Lazy<Task<IReadOnlyList<Operation>>> Document = new(LoadAsync);

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var response = await base.SendAsync(request, cancellationToken);
        if (request.Headers.Host is not null) return response; // a foreign name on purpose: refused before any route is chosen
        var path = request.RequestUri!.AbsolutePath.Trim('/').Split('/');
        var operation = (await Document.Value).Where(o => o.Method == request.Method.Method && Fits(o.Path, path)).MaxBy(o => o.Path.Count(p => p[0] != '{'));
        if (operation is not null) Check(operation, response);
        return response;
    }

    private static void Check(Operation operation, HttpResponseMessage response)
    {
        var what = $"{operation.Method} /{string.Join('/', operation.Path)} answered {(int)response.StatusCode}, which /openapi/v1.json does not declare";
        operation.Answers.TryGetValue((int)response.StatusCode, out var types).ShouldBeTrue(what);
        if (response.Content.Headers.ContentType?.MediaType is { } type) types!.ShouldContain(type, what + " as " + type);
        else types.ShouldBeEmpty(what + " without a body");
    }

    private static bool Fits(string[] template, string[] path) =>
        template.Length == path.Length && template.Zip(path).All(pair => pair.First[0] == '{' ? pair.Second.Length > 0 : pair.First == pair.Second);

    /// <summary>From a server of its own, because the one under test may be stopped or refuse this host on purpose. All build the same document.</summary>
    private static async Task<IReadOnlyList<Operation>> LoadAsync()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        using var client = new HttpClient { BaseAddress = new Uri(server.Url) };
        using var document = JsonDocument.Parse(await client.GetStringAsync("/openapi/v1.json", CancellationToken.None));
        return [..
            from path in document.RootElement.GetProperty("paths").EnumerateObject()
            from operation in path.Value.EnumerateObject()
            select new Operation(operation.Name.ToUpperInvariant(), path.Name.Trim('/').Split('/'), operation.Value.GetProperty("responses").EnumerateObject()
                .ToDictionary(r => int.Parse(r.Name), r => r.Value.TryGetProperty("content", out var content) ? content.EnumerateObject().Select(c => c.Name).ToArray() : [])),
        ];
    }

    private sealed record Operation(string Method, string[] Path, IReadOnlyDictionary<int, string[]> Answers);
}
