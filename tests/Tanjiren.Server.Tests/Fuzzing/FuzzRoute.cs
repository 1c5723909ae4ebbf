using System.Text.Json;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Tests.Identity;

namespace Tanjiren.Server.Tests.Fuzzing;

internal enum Admission
{
    /// <summary>No credential at all.</summary>
    Anybody,
    /// <summary>A person of <see cref="FuzzRoute.Least"/> or above.</summary>
    Person,
    /// <summary>A workstation: token and proof.</summary>
    Workstation,
    /// <summary>A proof without a token.</summary>
    Key,
}

internal sealed record FuzzParameter(string Name, string In, JsonElement Schema);

/// <summary>One route as the server itself describes it: the OpenAPI document for its shape, the endpoint's metadata for who is admitted.</summary>
internal sealed record FuzzRoute
{
    public required string Method { get; init; }
    /// <summary>For example <c>/api/tasks/{id}/cancel</c>.</summary>
    public required string Template { get; init; }
    /// <summary>The operation id; of a page, its method and path.</summary>
    public required string Name { get; init; }
    public required Admission Admission { get; init; }
    public Role Least { get; init; }
    public IReadOnlyList<FuzzParameter> Parameters { get; init; } = [];
    /// <summary>The schema of the body, if it takes one.</summary>
    public JsonElement? Body { get; init; }
    public string ContentType { get; init; } = "application/json";
    public Schemas Schemas { get; init; } = null!;
    /// <summary>A page for browsers to look at: not in the document, so its answers are judged without it.</summary>
    public bool IsPage { get; init; }

    public bool TakesForm => ContentType == FormBody.ContentType;
    public bool Streams { get; init; }

    public IReadOnlyList<string> PathParameters { get; private init; } = [];

    /// <summary>Takes tens of milliseconds of a processor: hashes a password, compiles patterns, or makes the API document. /device does it only for who is still to sign in.</summary>
    public bool IsCostly => Template == "/openapi/v1.json" || Name == "setDoctrine" || Name != "submitDevice" && Body is { } body && Schemas.Properties(body).Any(p => p.Name == "password");

    /// <summary>Every mapped route. One that is in the document is described by it; any other must be a page to look at.</summary>
    public static async Task<IReadOnlyList<FuzzRoute>> ReadAsync(ServerFixture server)
    {
        using var anonymous = server.NewClient(null);
        var document = JsonDocument.Parse(await anonymous.GetStringAsync("/openapi/v1.json", TestContext.Current.CancellationToken)).RootElement;
        var described = (from path in document.GetProperty("paths").EnumerateObject()
                         from operation in path.Value.EnumerateObject()
                         select (Route: $"{operation.Name.ToUpperInvariant()} {path.Name}", operation.Value)).ToDictionary(o => o.Route, o => o.Value);
        var schemas = new Schemas(document);
        return [.. server.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Select(endpoint => Describe(endpoint, described, schemas)).OrderBy(r => r.Template, StringComparer.Ordinal).ThenBy(r => r.Method, StringComparer.Ordinal)];
    }

    private static FuzzRoute Describe(RouteEndpoint endpoint, IReadOnlyDictionary<string, JsonElement> described, Schemas schemas)
    {
        var name = RoleTests.Name(endpoint);
        var parts = name.Split(' ');
        var role = endpoint.Metadata.GetMetadata<RoleRequirement>()?.Role;
        var route = new FuzzRoute
        {
            Method = parts[0], Template = parts[1], Name = name, Schemas = schemas, Least = role ?? Role.Viewer,
            Admission = endpoint.Metadata.GetMetadata<DeviceRequirement>() is not null ? Admission.Workstation
                : endpoint.Metadata.GetMetadata<ProofRequirement>() is not null ? Admission.Key
                : role is not null ? Admission.Person : Admission.Anybody,
            PathParameters = [.. endpoint.RoutePattern.Parameters.Select(p => p.Name)],
        };
        if (!described.TryGetValue(name, out var operation)) return route with { IsPage = true };

        var content = operation.TryGetProperty("requestBody", out var body) ? body.GetProperty("content").EnumerateObject().First() : default;
        return route with
        {
            Name = operation.GetProperty("operationId").GetString()!,
            Parameters = operation.TryGetProperty("parameters", out var parameters)
                ? [.. parameters.EnumerateArray().Select(p => new FuzzParameter(p.GetProperty("name").GetString()!, p.GetProperty("in").GetString()!, p.GetProperty("schema")))]
                : [],
            Body = body.ValueKind == JsonValueKind.Undefined ? null : content.Value.GetProperty("schema"),
            ContentType = body.ValueKind == JsonValueKind.Undefined ? "application/json" : content.Name,
            Streams = operation.GetProperty("responses").TryGetProperty("200", out var ok) && ok.TryGetProperty("content", out var types)
                && types.TryGetProperty("text/event-stream", out _),
        };
    }
}
