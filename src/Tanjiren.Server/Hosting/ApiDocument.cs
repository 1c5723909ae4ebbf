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
    });

    public static void MapApiDocument(this IEndpointRouteBuilder routes) => routes.MapOpenApi("/openapi/v1.json");
}
