using System.Text.Json;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tests.Identity;
using Tanjiren.Tests;

namespace Tanjiren.Server.Tests.Hosting;

public sealed class ApiDocumentTests
{
    [Fact]
    public async Task It_lists_exactly_the_mapped_routes()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var document = await DocumentAsync(server);
        var mapped = server.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(e => e.Metadata.GetMetadata<IExcludeFromDescriptionMetadata>()?.ExcludeFromDescription != true)
            .Select(RoleTests.Name).Where(r => !r.Contains("/openapi/", StringComparison.Ordinal));
        Operations(document).Select(o => o.Route).Order().ShouldBe(mapped.Order());
    }

    /// <summary>
    /// What scripts and clients stand on: a change of the API shows in a diff, where a field that is renamed or gone is seen before anybody's script breaks.
    /// </summary>
    [Fact]
    public async Task It_is_the_one_that_the_repository_keeps()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var now = JsonSerializer.Serialize(await DocumentAsync(server), Readable).ReplaceLineEndings("\n").Replace(server.Url, "http://127.0.0.1:7433") + "\n";
        var kept = SourceFile("docs", "openapi.v1.json");
        if (Environment.GetEnvironmentVariable("TANJIREN_KEEP_API") is "1") await File.WriteAllTextAsync(kept, now, TestContext.Current.CancellationToken);
        var (was, @is) = ((await File.ReadAllTextAsync(kept, TestContext.Current.CancellationToken)).Split('\n'), now.Split('\n'));
        var first = was.Zip(@is).TakeWhile(lines => lines.First == lines.Second).Count();
        first.ShouldBe(Math.Max(was.Length, @is.Length),
            $"docs/openapi.v1.json, line {first + 1}: '{was.ElementAtOrDefault(first)}' was, '{@is.ElementAtOrDefault(first)}' is. If that is meant, keep it: TANJIREN_KEEP_API=1 PROJECTS=Server eng/test -class '*ApiDocumentTests'");
    }

    [Fact]
    public async Task Every_operation_has_an_id_of_its_own_and_declares_its_problems()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var operations = Operations(await DocumentAsync(server)).ToList();
        operations.Select(o => o.Body.GetProperty("operationId").GetString()).ShouldBeUnique();
        foreach (var (route, body) in operations.Where(o => o.Route is not ("GET /healthz" or "GET /readyz" or "POST /api/auth/login" or "POST /api/setup" or "POST /setup" or "GET /.well-known/oauth-authorization-server")))
            body.GetProperty("responses").TryGetProperty("401", out var refused).ShouldBeTrue(route);
        foreach (var (route, body) in operations)
            foreach (var response in body.GetProperty("responses").EnumerateObject().Where(r => r.Name[0] is '4' or '5'))
                response.Value.GetProperty("content").EnumerateObject().Any(content => content.Name == Refusal(route, content.Name, response.Name)).ShouldBeTrue($"{route} {response.Name}");

        // OAuth's routes refuse in the form of RFC 6749 §5.2, pages for their person to read.
        static string Refusal(string route, string type, string status) =>
            status is "400" or "401" && route.StartsWith("POST /oauth/", StringComparison.Ordinal) ? "application/json"
            : route is "POST /device" or "POST /invitations" or "POST /setup" && type == "text/html" ? type
            : "application/problem+json";
    }

    [Theory]
    [InlineData("POST /oauth/device_authorization", "client_id", "client_id scope machine_name")]
    [InlineData("POST /oauth/token", "grant_type client_id", "grant_type client_id device_code refresh_token scope")]
    [InlineData("POST /oauth/revoke", "token client_id", "token token_type_hint client_id")]
    [InlineData("POST /device", "csrf action", "csrf user_code action organization email password")]
    [InlineData("POST /invitations", "csrf code email password", "csrf code email password name")]
    [InlineData("POST /setup", "csrf code email password organizationName", "csrf code email password organizationName")]
    public async Task Routes_that_take_a_form_declare_its_fields(string route, string required, string fields)
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var body = Operations(await DocumentAsync(server)).Single(o => o.Route == route).Body.GetProperty("requestBody");
        body.GetProperty("required").GetBoolean().ShouldBeTrue();
        var schema = body.GetProperty("content").GetProperty("application/x-www-form-urlencoded").GetProperty("schema");
        schema.GetProperty("properties").EnumerateObject().Select(p => p.Name).Order().ShouldBe(fields.Split(' ').Order());
        schema.GetProperty("required").EnumerateArray().Select(r => r.GetString()).Order().ShouldBe(required.Split(' ').Order());
    }

    [Fact]
    public async Task Every_part_of_a_path_and_the_session_of_a_workstation_are_declared()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        foreach (var (route, body) in Operations(await DocumentAsync(server)))
        {
            var declared = body.TryGetProperty("parameters", out var parameters)
                ? parameters.EnumerateArray().Select(p => $"{p.GetProperty("in").GetString()} {p.GetProperty("name").GetString()}").ToList() : [];
            foreach (var part in route.Split('{').Skip(1)) declared.ShouldContain("path " + part.Split('}')[0], route);
            if (route.EndsWith("/heartbeat", StringComparison.Ordinal) || route.StartsWith("POST /api/steps/", StringComparison.Ordinal)) declared.ShouldContain("query session", route);
        }
    }

    [Fact]
    public async Task Every_operation_says_how_to_authenticate_and_which_headers_it_takes()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var document = await DocumentAsync(server);
        document.GetProperty("components").GetProperty("securitySchemes").EnumerateObject().Select(s => s.Name).ShouldBe(["bearer", "session", "workstation"]);
        var endpoints = server.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>().ToLookup(RoleTests.Name);
        foreach (var (route, body) in Operations(document))
        {
            var metadata = endpoints[route].Single().Metadata;
            var device = metadata.GetMetadata<DeviceRequirement>() is not null;
            string[] expected = device ? ["workstation"] : metadata.GetMetadata<RoleRequirement>() is not null ? ["bearer", "session"] : [];
            string[] schemes = body.TryGetProperty("security", out var security) ? [.. security.EnumerateArray().SelectMany(one => one.EnumerateObject()).Select(one => one.Name)] : [];
            schemes.ShouldBe(expected, route);
            var headers = body.TryGetProperty("parameters", out var parameters)
                ? parameters.EnumerateArray().Where(p => p.GetProperty("in").GetString() == "header").Select(p => p.GetProperty("name").GetString()).ToList() : [];
            headers.Contains("DPoP").ShouldBe(device || metadata.GetMetadata<ProofRequirement>() is not null, route);
            headers.Contains("Idempotency-Key").ShouldBe(route is "POST /api/tasks" or "POST /api/instances" or "POST /api/schedules" or "POST /api/schedules/{id}/run" or "POST /api/tasks/{id}/retry"
                or "POST /api/investigations" or "POST /api/runbooks" or "POST /api/prompts" || route.StartsWith("POST ", StringComparison.Ordinal) && route.Contains("/artifacts", StringComparison.Ordinal), route);
        }
    }

    [Fact]
    public async Task Enums_are_listed_as_they_are_on_the_wire()
    {
        await using var server = await ServerFixture.StartAsync(DatabaseKind.Sqlite);
        var schemas = (await DocumentAsync(server)).GetProperty("components").GetProperty("schemas");
        string[] Values(string name) => [.. schemas.GetProperty(name).GetProperty("enum").EnumerateArray().Select(v => v.GetString()!)];
        Values("InstanceStatus").ShouldBe(["offline", "online", "relay_online"]);
        Values("WorkerStatus").ShouldBe(["offline", "ready", "busy"]);
    }

    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static string SourceFile(string directory, string name, [System.Runtime.CompilerServices.CallerFilePath] string here = "") =>
        Path.Combine(Path.GetDirectoryName(here)!, "..", "..", "..", directory, name);

    private static async Task<JsonElement> DocumentAsync(ServerFixture server)
    {
        using var anonymous = server.NewClient(null);
        return JsonDocument.Parse(await anonymous.GetStringAsync("/openapi/v1.json", TestContext.Current.CancellationToken)).RootElement;
    }

    private static IEnumerable<(string Route, JsonElement Body)> Operations(JsonElement document) =>
        from path in document.GetProperty("paths").EnumerateObject()
        from operation in path.Value.EnumerateObject()
        select ($"{operation.Name.ToUpperInvariant()} {path.Name}", operation.Value);
}
