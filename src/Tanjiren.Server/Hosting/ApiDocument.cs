using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.OpenApi;
using Tanjiren.Protocol;
using Tanjiren.Server.DeviceTrust;
using Tanjiren.Server.Identity;

namespace Tanjiren.Server.Hosting;

/// <summary>The OpenAPI document, generated from the routes that are mapped, so that it can't tell of others.</summary>
internal static class ApiDocument
{
    private const string Bearer = "bearer";
    private const string SessionCookie = "session";
    private const string Workstation = "workstation";

    private static readonly Dictionary<string, IOpenApiSecurityScheme> Schemes = new()
    {
        [Bearer] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", Description = "A token of a person: Authorization: Bearer tnv_…" },
        [SessionCookie] = new OpenApiSecurityScheme { Type = SecuritySchemeType.ApiKey, In = ParameterLocation.Cookie, Name = CallerAuthentication.Cookie, Description = "A browser's session; changes need an Origin header." },
        [Workstation] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "DPoP", Description = "A workstation's token, with a proof of its key in the DPoP header (RFC 9449)." },
    };

    public static void AddApiDocument(this IServiceCollection services) => services.AddOpenApi("v1", openApi =>
    {
        openApi.AddDocumentTransformer((document, _, _) =>
        {
            document.Info.Title = "Tanjiren control plane";
            document.Info.Description = "Errors are RFC 9457 problem details with a stable code and a hint. See docs/concepts.";
            document.Servers?.Clear(); // the address depends on who asks
            document.Components ??= new OpenApiComponents();
            document.Components.SecuritySchemes = Schemes.ToDictionary();
            return Task.CompletedTask;
        });
        openApi.AddSchemaTransformer(async (schema, context, cancellationToken) =>
        {
            // What a converter of our own reads and writes, the framework doesn't know: not of the enum, and so not of a list of them.
            var used = context.JsonTypeInfo;
            if ((Nullable.GetUnderlyingType(used.Type) ?? used.Type) is { IsEnum: true } type) DeclareNames(schema, type, used);
            else if (used.ElementType is { IsEnum: true } item) schema.Items ??= await context.GetOrCreateSchemaAsync(item, null, cancellationToken);
        });
        openApi.AddOperationTransformer((operation, context, _) =>
        {
            // What a handler reads by way of Device is bound by no parameter of its own, so the framework does not see it.
            foreach (var part in RoutePatternFactory.Parse(context.Description.RelativePath ?? "").Parameters) Declare(operation, part.Name, ParameterLocation.Path);
            var metadata = context.Description.ActionDescriptor.EndpointMetadata;
            var device = metadata.OfType<DeviceRequirement>().Any();
            if (device) Declare(operation, "session", ParameterLocation.Query);
            if (device || metadata.OfType<ProofRequirement>().Any()) Declare(operation, DPoPProof.Header, ParameterLocation.Header, required: true);
            if (metadata.OfType<IdempotencyKeyTaken>().Any()) Declare(operation, Idempotency.Header, ParameterLocation.Header);
            if (metadata.OfType<FormBody>().FirstOrDefault() is { } form) Declare(operation, form);
            foreach (var status in metadata.OfType<PageAnswers>().SelectMany(pages => pages.Statuses)) DeclarePage(operation, status);
            if (device) Secure(Workstation);
            if (metadata.OfType<RoleRequirement>().Any()) Secure(Bearer, SessionCookie);
            return Task.CompletedTask;

            // Each alone is enough.
            void Secure(params string[] schemes) => operation.Security =
                [.. schemes.Select(scheme => new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(scheme, context.Document)] = [] })];
        });
    });

    public static void MapApiDocument(this IEndpointRouteBuilder routes) => routes.MapOpenApi("/openapi/v1.json");

    private static void DeclareNames(OpenApiSchema schema, Type type, JsonTypeInfo used)
    {
        schema.Enum = [.. Enum.GetValues(type).Cast<object>().Select(value => JsonSerializer.SerializeToNode(value, used.Options.GetTypeInfo(type))!)];
        if (used.Type != type) schema.Enum.Add(JsonNullSentinel.JsonNull);
    }

    private static void Declare(OpenApiOperation operation, string name, ParameterLocation where, bool required = false)
    {
        operation.Parameters ??= [];
        if (operation.Parameters.Any(p => p.Name == name && p.In == where)) return;
        operation.Parameters.Add(new OpenApiParameter
        {
            Name = name, In = where, Required = required || where == ParameterLocation.Path, Schema = new OpenApiSchema { Type = JsonSchemaType.String },
        });
    }

    private static void Declare(OpenApiOperation operation, FormBody form) => operation.RequestBody = new OpenApiRequestBody
    {
        Required = true,
        Content = new Dictionary<string, OpenApiMediaType>
        {
            [FormBody.ContentType] = new()
            {
                Schema = new OpenApiSchema
                {
                    Type = JsonSchemaType.Object,
                    Required = form.Fields.Where(field => field.Required).Select(field => field.Name).ToHashSet(),
                    Properties = form.Fields.ToDictionary(field => field.Name, IOpenApiSchema (field) => new OpenApiSchema
                    {
                        Type = JsonSchemaType.String,
                        Description = field.Description,
                        Enum = field.Words.Length > 0 ? [.. field.Words.Select(word => (JsonNode)word)] : null,
                    }),
                },
            },
        },
    };

    private static void DeclarePage(OpenApiOperation operation, int status)
    {
        operation.Responses ??= [];
        if (!operation.Responses.TryGetValue(status.ToString(), out var known) || known is not OpenApiResponse response)
            operation.Responses[status.ToString()] = response = new OpenApiResponse { Description = ReasonPhrases.GetReasonPhrase(status) };
        response.Content ??= new Dictionary<string, OpenApiMediaType>();
        response.Content["text/html"] = new OpenApiMediaType { Schema = new OpenApiSchema { Type = JsonSchemaType.String } };
    }
}
