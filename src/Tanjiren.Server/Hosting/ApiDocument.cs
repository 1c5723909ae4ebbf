using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.OpenApi;
using Tanjiren.Server.DeviceTrust;

namespace Tanjiren.Server.Hosting;

/// <summary>The OpenAPI document, generated from the routes that are mapped, so that it can't tell of others.</summary>
internal static class ApiDocument
{
    public static void AddApiDocument(this IServiceCollection services) => services.AddOpenApi("v1", openApi =>
    {
        openApi.AddDocumentTransformer((document, _, _) =>
        {
            document.Info.Title = "Tanjiren control plane";
            document.Info.Description = "Errors are RFC 9457 problem details with a stable code and a hint. See docs/concepts.";
            document.Servers?.Clear(); // the address depends on who asks
            return Task.CompletedTask;
        });
        openApi.AddOperationTransformer((operation, context, _) =>
        {
            // What a handler reads by way of Device is bound by no parameter of its own, so the framework does not see it.
            foreach (var part in RoutePatternFactory.Parse(context.Description.RelativePath ?? "").Parameters) Declare(operation, part.Name, ParameterLocation.Path);
            if (context.Description.ActionDescriptor.EndpointMetadata.OfType<DeviceRequirement>().Any()) Declare(operation, "session", ParameterLocation.Query);
            return Task.CompletedTask;
        });
    });

    public static void MapApiDocument(this IEndpointRouteBuilder routes) => routes.MapOpenApi("/openapi/v1.json");

    private static void Declare(OpenApiOperation operation, string name, ParameterLocation where)
    {
        operation.Parameters ??= [];
        if (operation.Parameters.Any(p => p.Name == name && p.In == where)) return;
        operation.Parameters.Add(new OpenApiParameter
        {
            Name = name, In = where, Required = where == ParameterLocation.Path, Schema = new OpenApiSchema { Type = JsonSchemaType.String },
        });
    }
}
